"""The table of a comparison: accuracies, and the rounds, uploads, bits and bytes that they took.

Several runs with different seeds have two rows, their mean and their standard deviation (SD, divisor n - 1), over the
rounds that all of them have. A number that is unknown for one of them is unknown in both.

Example
-------
    table = tabulate([[run_1, run_2], [run_3]], ["lowrank", "fedavg"], WIRE, [0.9])
    print(as_text(table, 80))
"""

import math
import re
import textwrap
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

from .labels import LONGEST as LONGEST_LABEL
from .seeds import MAX_ROUNDS
from .stored import StoredRun
from .text_table import shorten, text_table

TEXT, COUNT, MEAN_COUNT, SHARE = "General", "#,##0", "#,##0.0", "0.00%"  # number formats
SHAPES = {COUNT: "{:,.0f}", MEAN_COUNT: "{:,.1f}", SHARE: "{:.2%}"}  # the same in Python
PARTS = 20  # automatic thresholds are multiples of 1 / 20 = 5 %
RUN, STATISTIC = "run", "statistic"
FACTS = ("data set", "model", "mode", "accuracy of")
NUMBERS = {
    "rounds": MEAN_COUNT,
    "final accuracy (%)": SHARE,
    "best accuracy (%)": SHARE,
    "wire (bytes)": COUNT,
    "payload (bits)": COUNT,
}  # with the formats of means
ONE_RUN, MEAN, SD = "one run", "mean of %d seeds", "SD of %d seeds"  # statistics
FILE = "file"
LONGEST_NAME = 28  # characters of the name of a file or a run, in the text


class Measure(NamedTuple):
    """The cost that runs are compared by: its name, its column, and the factor to bytes."""

    name: str
    column: str
    bytes_per_unit: float

    def bytes_of(self, curve: Any) -> Any:
        """Return the bytes so far, one value per row of a curve."""
        return curve[self.column] * self.bytes_per_unit


WIRE, PAYLOAD = Measure("wire", "wire_bytes", 1.0), Measure("payload", "payload_bits", 1 / 8)


def choose_thresholds(runs: Sequence[StoredRun]) -> List[float]:
    """Return multiples of 5 %: the highest that all runs reached, the one below, the highest that any reached."""
    bests = [run.curve.accuracy.max() for run in runs if run.curve.accuracy.notna().any()]
    if not bests:
        return []
    by_all, by_any = (math.floor(best * PARTS + 1e-9) for best in (min(bests), max(bests)))
    return sorted({part / PARTS for part in (by_all - 1, by_all, by_any) if part > 0})


def tabulate(
    groups: Sequence[Sequence[StoredRun]], names: Sequence[str], measure: Measure, thresholds: Sequence[float]
) -> Any:
    """Return a DataFrame with one row per run, or two per group of several; NaN = unknown, or never reached.

    Totals run to the end of the last closed round. Without groups of several, the column STATISTIC is left out.
    ``attrs["formats"]`` holds the number formats of each row.
    """
    from pandas import DataFrame

    columns: Dict[str, str] = dict(NUMBERS)
    for threshold in thresholds:
        end = "to %g%%" % (100 * threshold)
        columns.update({"rounds " + end: MEAN_COUNT, "uploads " + end: MEAN_COUNT})
        columns.update({"payload bits " + end: COUNT, "%s bytes %s" % (measure.name, end): COUNT})
    rows, formats = [], []
    for name, group in zip(names, groups):
        n_runs, run = len(group), group[0]
        found = DataFrame([_numbers(run, measure, thresholds) for run in group], dtype="float64")
        numbers = {ONE_RUN: found.iloc[0]}
        if n_runs > 1:
            numbers = {MEAN % n_runs: found.mean(skipna=False), SD % n_runs: found.std(skipna=False)}
        for statistic, values in numbers.items():
            facts = (run.dataset, run.model, run.mode, run.accuracy_of, ", ".join(run.name for run in group))
            rows.append([name, statistic, *values, *facts])
            shapes = [COUNT if n_runs == 1 and shape == MEAN_COUNT else shape for shape in columns.values()]
            formats.append([TEXT, TEXT, *shapes, *[TEXT] * (len(FACTS) + 1)])
    table = DataFrame(rows, columns=[RUN, STATISTIC, *columns, *FACTS, FILE])
    table = table.astype({title: "float64" for title in columns})
    if all(len(group) == 1 for group in groups):
        del table[STATISTIC]
        formats = [row[1:] for row in formats]
    table.attrs["formats"] = formats
    return table


def _numbers(run: StoredRun, measure: Measure, thresholds: Sequence[float]) -> List[Any]:
    """Return the numbers of a run, in the order of the columns; None = unknown, or never reached."""
    curve, spent = run.curve, measure.bytes_of(run.curve)
    evaluated = curve.accuracy.dropna()
    numbers = [
        len(curve),
        evaluated.iloc[-1] if len(evaluated) else None,
        evaluated.max() if len(evaluated) else None,
        curve.wire_bytes.iloc[-1],
        curve.payload_bits.iloc[-1],
    ]
    for threshold in thresholds:
        reached = curve.index[curve.accuracy >= threshold]
        numbers += (
            [column[reached[0]] for column in (curve["round"], curve.uploads, curve.payload_bits, spent)]
            if len(reached)
            else [None] * 4
        )
    return numbers


def as_text(table: Any, width: int) -> str:
    """Return the table as aligned text; facts that all rows share stand above it, unknown values are blank."""
    from pandas import isna

    texts = [title for title in FACTS if table[title].any()]
    shared = [title for title in texts if len(set(table[title])) == 1]
    facts = "; ".join("%s %s" % (title, table[title][0]) for title in shared)
    in_name = [title for title in texts if all(value in name for name, value in zip(table[RUN], table[title]))]
    texts = [title for title in texts if title not in shared + in_name]
    numbers = [title for title in table.columns if title not in (RUN, STATISTIC, *FACTS, FILE)]
    rows = []
    for (_, row), formats in zip(table.iterrows(), table.attrs["formats"]):
        shapes = dict(zip(table.columns, formats))
        name = shorten(row[RUN], LONGEST_NAME if row[RUN] == row[FILE] else LONGEST_LABEL)
        statistic = row.get(STATISTIC, ONE_RUN)
        if statistic.startswith(MEAN[:4]):
            name += statistic.replace("mean of", ",")
        is_spread = statistic.startswith(SD[:2])
        cells = ["" if is_spread else row[title] for title in texts]
        cells += ["" if isna(row[title]) else SHAPES[shapes[title]].format(row[title]) for title in numbers]
        rows.append(["  SD" if is_spread else name, *cells])
    broken = [re.sub(r" (?=\(|to )| (?=accuracy)", "\n", title.replace(" (%)", ""), count=1) for title in numbers]
    parts = [1 + len(texts) + index for index, title in enumerate(numbers) if title.startswith("rounds to ")]
    lines = text_table([RUN, *texts, *broken], rows, width, 1 + len(texts), parts)
    return lines if not facts else "%s\n\n%s" % (textwrap.fill(facts, width), lines)


def coverage(
    groups: Sequence[Sequence[StoredRun]], covered: Sequence[Sequence[StoredRun]], names: Sequence[str]
) -> Iterator[str]:
    """Yield sentences on runs that have not all rounds, and on groups whose numbers cover the common rounds only."""
    section, key = MAX_ROUNDS
    for name, group, common in zip(names, groups, covered):
        for run in group:
            n_rounds = run.settings.get(section, {}).get(key)
            if isinstance(n_rounds, int) and len(run.curve) < n_rounds:
                yield "%s has %d of %d rounds." % (run.name, len(run.curve), n_rounds)
        n_common = len(common[0].curve)
        if any(len(run.curve) > n_common for run in group):
            yield "%s: the numbers cover the %d rounds that all %d seeds have." % (name, n_common, len(group))


def remarks(
    groups: Sequence[Sequence[StoredRun]], names: Sequence[str], measure: Measure, thresholds: Sequence[float]
) -> Iterator[str]:
    """Yield sentences on what is compared."""
    without = [run.name for group in groups for run in group if not run.has_wire]
    if measure is WIRE:
        yield "Bytes are wire bytes, both ways, until the round closed."
    else:
        yield "Bytes are payload (bits / 8), both ways, as counted in each file: no wire bytes in %s." % ", ".join(
            without
        )
    if any(len(group) > 1 for group in groups):
        yield "Runs that differ only in the seed are one row: their mean, and the standard deviation (SD) below."
    for name, group in zip(names, groups):
        for threshold in thresholds:
            n_reached = sum(bool((run.curve.accuracy >= threshold).any()) for run in group)
            if 0 < n_reached < len(group):
                yield "%s: %d of %d seeds reached %g%%." % (name, n_reached, len(group), 100 * threshold)
