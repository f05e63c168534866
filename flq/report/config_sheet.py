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
CHANGED, DERIVED = "changed", "given or derived"  # why a value differs from the default
# Null by default: unless they are given, FLQ derives them from the data or from other settings, and records the result.
DERIVED_SETTINGS = frozenset(
    [("system", "min_workers"), ("dataset", "input_shape"), ("dataset", "n_classes"), ("dataset", "scale")]
)


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
            beside: List[Any] = [None, None]
            if value != default:
                is_derived = default is None and (section, key) in DERIVED_SETTINGS
                beside = [DERIVED if is_derived else CHANGED, "null" if default is None else default]
            lines.append([section, key, value, *beside])
    return lines
