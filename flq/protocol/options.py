"""The options of the master's machine: the settings of a run, and what follows from them."""

from typing import NamedTuple

from ..core import upload_selection
from ..core.layout import Layout
from ..core.lowrank_budget import check_room, longest_upload
from ..core.settings import Rules, Settings, rules_from_settings


class RunOptions(NamedTuple):
    """What the machine needs to know of a run; ``rules`` follow from ``settings``."""

    run_id: str
    settings: Settings
    rules: Rules
    layout: Layout


def run_options(run_id: str, settings: Settings, layout: Layout) -> RunOptions:
    """Build the options from the settings.

    Raises
    ------
    ConfigError
        If the settings contradict each other.
    """
    n_workers, rules = settings.system.total_workers, rules_from_settings(settings)
    check_room(n_workers, layout, rules)
    upload_selection.check_admits(8 * longest_upload(n_workers, layout, rules), rules)
    return RunOptions(run_id, settings, rules, layout)
