"""Evaluates the files of the runs: bytes to each accuracy, medians over the seeds, ratios, and the figure."""

import glob
import json
import os
import statistics
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .runs import read

TARGETS = (0.80, 0.83, 0.85, 0.86, 0.87, 0.88)
NEVER = float("inf")
LOWEST_DRAWN = 0.6  # accuracy


class Hit(NamedTuple):
    """The round and the bytes at which an accuracy is reached."""

    round: float
    bytes: float
    samples: float


def total_bytes(row: Dict[str, Any], http: int) -> int:
    """Return the total bytes so far: frames both ways, and the overhead of HTTP for each exchange."""
    return row["up"] + row["down"] + http * row["exchanges"]


def hit(rows: Sequence[Dict[str, Any]], key: str, target: float, n_mean: int, http: int) -> Hit:
    """Return the first time that the mean of ``n_mean`` successive accuracies reaches the target.

    Rounds without that accuracy, such as of a disabled average, are ignored.
    """
    rows = [row for row in rows if key in row]
    for i in range(n_mean - 1, len(rows)):
        if sum(row[key] for row in rows[i - n_mean + 1 : i + 1]) / n_mean >= target:
            return Hit(rows[i]["round"], total_bytes(rows[i], http), rows[i]["samples"])
    return Hit(NEVER, NEVER, NEVER)


def gather(out: str, http: int, alpha: float) -> List[Dict[str, Any]]:
    """Read all files of a folder, including unfinished ones; return one summary per recipe."""
    groups: Dict[str, List[Any]] = {}
    paths = glob.glob(os.path.join(out, "*.jsonl")) + glob.glob(os.path.join(out, "*.jsonl.part"))
    for path in sorted(paths):
        try:
            head, rows = read(path)
        except IndexError:  # no line yet
            continue
        if rows and head["alpha"] == alpha:
            groups.setdefault(head["recipe"], []).append((head, rows, path.endswith(".part")))
    return [_summary(name, runs, http) for name, runs in groups.items()]


def _summary(name: str, runs: List[Any], http: int) -> Dict[str, Any]:
    head = runs[0][0]
    found: Dict[str, Any] = {}
    for vector in ("", "mean_"):
        for part in ("test", "val"):
            for n_mean, how in ((1, "first"), (3, "m3")):
                for target in TARGETS:
                    hits = [hit(rows, "%s%s_accuracy" % (vector, part), target, n_mean, http) for _, rows, _ in runs]
                    found["%s%s_%s_%g" % (vector, part, how, 100 * target)] = {
                        "rounds": _median([one.round for one in hits]),
                        "mb": _median([one.bytes / 1e6 for one in hits]),
                        "samples": _median([one.samples for one in hits]),
                        "mb_by_seed": [None if one.bytes == NEVER else round(one.bytes / 1e6, 4) for one in hits],
                    }
    last = {
        key: _median([rows[-1][key] for _, rows, _ in runs])
        for key in ("test_accuracy", "val_accuracy", "mean_test_accuracy", "mean_val_accuracy", "samples", "round")
        if key in runs[0][1][-1]
    }
    return {
        "recipe": name,
        "mode": head["mode"],
        "overrides": head["overrides"],
        "seeds": [run_head["seed"] for run_head, _, _ in runs],
        "unfinished": sum(part for _, _, part in runs),
        "kb_per_round": _median([total_bytes(rows[-1], http) / 1e3 / rows[-1]["round"] for _, rows, _ in runs]),
        "best_test": _median([max(row["test_accuracy"] for row in rows) for _, rows, _ in runs]),
        "last": last,
        "hits": found,
        "curves": [
            {
                "seed": run_head["seed"],
                "mb": [total_bytes(row, http) / 1e6 for row in rows],
                "test_accuracy": [row["test_accuracy"] for row in rows],
                "val_accuracy": [row["val_accuracy"] for row in rows],
            }
            for run_head, rows, _ in runs
        ],
    }


def _median(values: Sequence[float]) -> Optional[float]:
    middle = statistics.median_low(values)
    return None if middle == NEVER else middle


def table(summaries: List[Dict[str, Any]], vector: str) -> str:
    """Return the table as text, for x (vector "") or its average ("mean_")."""
    rivals = [one for one in summaries if one["mode"] == "fedavg"]
    lines = []
    for part in ("test", "val"):
        lines += [
            "",
            "%s, rounds MB (ratio to the best float32): first / mean of three" % part,
            "%-28s %5s %8s" % ("recipe", "seeds", "kB/round")
            + "".join("%30s" % ("%g %%" % (100 * target)) for target in TARGETS)
            + "   last (best) @ samples",
        ]
        for one in sorted(summaries, key=lambda one: one["kb_per_round"]):
            cells = [
                "%30s"
                % " / ".join(
                    _cell(one, rivals, "%s%s_%s_%g" % (vector, part, how, 100 * target)) for how in ("first", "m3")
                )
                for target in TARGETS
            ]
            last = one["last"]
            lines.append(
                "%-28s %5s %8.1f%s   %.4f (%.4f) mean %.4f @%.2fM %dr"
                % (
                    one["recipe"][:28],
                    "%d%s" % (len(one["seeds"]), "+" if one["unfinished"] else ""),
                    one["kb_per_round"],
                    "".join(cells),
                    last["%s_accuracy" % part],
                    one["best_test"],
                    last.get("mean_%s_accuracy" % part, float("nan")),
                    last["samples"] / 1e6,
                    last["round"],
                )
            )
    return "\n".join(lines)


def _cell(one: Dict[str, Any], rivals: List[Dict[str, Any]], key: str) -> str:
    found = one["hits"][key]
    if found["mb"] is None:
        return "-"
    others = [rival["hits"][key]["mb"] for rival in rivals if rival["hits"][key]["mb"] is not None]
    ratio = " (%.0fx)" % (min(others) / found["mb"]) if others and one["mode"] != "fedavg" else ""
    return "%dr %s%s" % (found["rounds"], "%.3g" % found["mb"], ratio)


def write_json(summaries: List[Dict[str, Any]], path: str, http: int, alpha: float) -> None:
    """Write the data of the table and the figure."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"http_bytes_per_exchange": http, "alpha": alpha, "recipes": summaries}, file, indent=1)


def figure(summaries: List[Dict[str, Any]], path: str) -> None:
    """Draw test accuracy over the total bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(10, 6))
    for number, one in enumerate(sorted(summaries, key=lambda one: one["kb_per_round"])):
        for i, curve in enumerate(one["curves"]):
            axes.plot(
                curve["mb"],
                curve["test_accuracy"],
                color="C%d" % (number % 10),
                linewidth=1,
                linestyle="-" if number < 10 else "--",
                label=one["recipe"] if i == 0 else None,
            )
    shown = [
        mb
        for one in summaries
        for curve in one["curves"]
        for mb, accuracy in zip(curve["mb"], curve["test_accuracy"])
        if accuracy >= LOWEST_DRAWN
    ]
    axes.set(
        xscale="log",
        xlabel="MB up and down, all workers",
        ylabel="test accuracy",
        ylim=(LOWEST_DRAWN, 0.88),
        xlim=(min(shown) / 1.2, max(shown) * 1.2) if shown else None,
    )
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=7)
    drawing.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(drawing)
