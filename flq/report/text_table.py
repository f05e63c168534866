"""Aligns a table of texts for a terminal; columns that do not fit follow below, beside the first column again.

Example
-------
>>> print(text_table(("run", "rounds"), [("a", "30"), ("bb", "5")], 80, n_left=1))
run  rounds
a        30
bb        5
"""

import shutil
from typing import List, Sequence

GAP = "  "
NARROWEST = 40  # characters that a table may always have


def terminal_width() -> int:
    """Return COLUMNS or the width of the terminal; 80 if there is neither."""
    return shutil.get_terminal_size((80, 24)).columns


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, n_left: int) -> str:
    """Return the aligned table.

    Parameters
    ----------
    width : int
        Characters of a line. Only a table whose first column and widest other column exceed it is wider.
    n_left : int
        The first columns are aligned left, the others right.
    """
    columns = list(zip(titles, *rows))
    widths = [max(map(len, column)) for column in columns]
    cells = [
        [text.ljust(width) if index < n_left else text.rjust(width) for text in column]
        for index, (column, width) in enumerate(zip(columns, widths))
    ]
    blocks: List[List[int]] = []
    for index in range(1, len(columns)):
        if not blocks or sum(len(GAP) + widths[other] for other in blocks[-1] + [index]) + widths[0] > width:
            blocks.append([])
        blocks[-1].append(index)
    return "\n\n".join(
        "\n".join(GAP.join(line).rstrip() for line in zip(*(cells[index] for index in [0, *block])))
        for block in blocks or [[]]
    )


def shorten(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters: its middle is replaced by "..."."""
    if len(text) <= most:
        return text
    n_last = (most - 3) // 2
    return text[: most - 3 - n_last] + "..." + text[len(text) - n_last :]
