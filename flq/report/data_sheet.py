"""The sheet Data: what the workers have seen of their data, for all of them and, with local data, for each.

Example
-------
    add_data(workbook, {"all": {"n_train": 140, ...}, "workers": [[0, {...}], [1, {...}]]})
"""

from typing import Any, List, Mapping, Sequence

from .sheets import fill

SIZES = (
    ("training samples", "n_train", "#,##0"),
    ("test samples", "n_test", "#,##0"),
    ("shape of a sample", "shape", "General"),
    ("type", "dtype", "General"),
    ("lowest value", "lowest", "General"),
    ("highest value", "highest", "General"),
    ("divided by", "scale", "General"),
    ("checksum of the labels", "checksum", "General"),
    ("classes", "n_classes", "#,##0"),
)
MOST_WORKERS = 1000  # of whom the sheet has columns


def add_data(workbook: Any, data: Mapping[str, Any]) -> None:
    """Add the sheet; ``data`` is that of the journal's table about."""
    of_workers = data["workers"][:MOST_WORKERS]
    titles = ["data", "all" if of_workers else "value"] + ["worker %d" % worker_id for worker_id, _ in of_workers]
    lines = data_lines([data["all"]] + [report for _, report in of_workers])
    formats = [["General"] + [line[0]] * (len(titles) - 1) for line in lines]
    fill(workbook, "Data", titles, [line[1:] for line in lines], formats, numbers_left=True)


def data_lines(reports: Sequence[Mapping[str, Any]]) -> List[List[Any]]:
    """Return number format, name and values of each row: sizes, then a row for each class with its samples."""
    lines = [[form, label] + [_shown(report.get(key)) for report in reports] for label, key, form in SIZES]
    lines = [line for line in lines if any(value is not None for value in line[2:])]
    names: List[str] = reports[0].get("class_names") or []
    for label in range(max(len(report["class_counts"]) for report in reports)):
        name = "samples of class %d" % label + (": %s" % names[label] if label < len(names) else "")
        counts = [report["class_counts"] for report in reports]
        lines.append(["#,##0", name] + [each[label] if label < len(each) else 0 for each in counts])
    return lines


def _shown(value: Any) -> Any:
    return " x ".join(map(str, value)) if isinstance(value, list) else value
