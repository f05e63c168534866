"""Aligns a table of texts for a terminal; columns that do not fit follow below, beside the first column again.

Example
-------
>>> print(text_table(("run", "rounds"), [("a", "30"), ("bb", "5")], 80, n_left=1))
run  rounds
a        30
bb        5
"""

import shutil
from typing import Iterator, List, Sequence

GAP = "  "


def terminal_width() -> int:
    """Return COLUMNS or the width of the terminal; 80 if there is neither."""
    return shutil.get_terminal_size((80, 24)).columns


def text_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, n_left: int, parts: Sequence[int] = ()
) -> str:
    """Return the aligned table.

    Parameters
    ----------
    titles : sequence of str
        May have several lines.
    width : int
        Characters of a line, if the first column and the widest other one fit it.
    n_left : int
        The first columns are aligned left, the others right.
    parts : sequence of int, optional
        Columns after the first where a line may break; default: everywhere.
    """
    n_lines = max(title.count("\n") for title in titles)
    heads = ["\n" * (n_lines - title.count("\n")) + title for title in titles]
    columns = [
        head.split("\n") + list(column) for head, column in zip(heads, zip(*rows) if rows else [()] * len(heads))
    ]
    widths = [max(map(len, column)) for column in columns]
    cells = [
        [text.ljust(size) if index < n_left else text.rjust(size) for text in column]
        for index, (column, size) in enumerate(zip(columns, widths))
    ]
    blocks: List[List[int]] = []
    for part in _parts(len(columns), parts, widths, width):
        if not blocks or _width([0, *blocks[-1], *part], widths) > width:
            blocks.append([])
        blocks[-1] += part
    return "\n\n".join(
        "\n".join(GAP.join(line).rstrip() for line in zip(*(cells[index] for index in [0, *block])))
        for block in blocks or [[]]
    )


def _parts(n_columns: int, starts: Sequence[int], widths: Sequence[int], width: int) -> Iterator[List[int]]:
    """Yield the columns after the first that stay together; columns of a part that is too wide stay alone."""
    edges = [1, *starts, n_columns] if starts else list(range(1, n_columns + 1))
    for first, after in zip(edges, edges[1:]):
        part = list(range(first, after))
        yield from [part] if _width([0, *part], widths) <= width else [[index] for index in part]


def _width(columns: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[index] for index in columns) + len(GAP) * (len(columns) - 1)


def shorten(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters: its middle is replaced by "..."."""
    if len(text) <= most:
        return text
    n_last = (most - 3) // 2
    return text[: most - 3 - n_last] + "..." + text[len(text) - n_last :]
