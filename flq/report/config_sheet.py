"""The sheet Config: every setting in force, and which of them differ from the defaults.

Example
-------
    add_config(workbook, public(to_json(settings)))
"""

from typing import Any, List

from ..core.settings import Json, Settings, to_json
from .marks import mark_changed
from .sheets import fill

TITLES = ("section", "key", "value", "changed", "default")
CHANGED = "changed"


def add_config(workbook: Any, settings: Json) -> None:
    """Add the sheet: one row per setting; the default stands only beside a changed value."""
    lines = config_lines(settings)
    sheet = fill(workbook, "Config", TITLES, lines, [("General",) * len(TITLES)] * len(lines))
    mark_changed(workbook, sheet, TITLES.index(CHANGED), len(TITLES), len(lines))


def config_lines(settings: Json) -> List[List[Any]]:
    """Return the rows; a setting that this version does not know has no default."""
    defaults, lines = to_json(Settings()), []
    for section, part in settings.items():
        for key, value in part.items():
            default = defaults.get(section, {}).get(key, value)
            beside = [None, None] if value == default else [CHANGED, "null" if default is None else default]
            lines.append([section, key, value, *beside])
    return lines
