"""The options of the master's machine, made from the settings of a run."""

from typing import NamedTuple

from ..core import upload_selection
from ..core.layout import Layout
from ..core.lowrank_budget import check_room, longest_upload
from ..core.settings import Json, Rules, Settings, for_workers, rules_from_settings


class RunOptions(NamedTuple):
    """What the machine needs to know of a run; ``settings`` are those for the workers.

    ``is_local`` says that workers have data of their own and test on a part of them.
    """

    run_id: str
    seed: int
    settings: Json
    rules: Rules
    layout: Layout
    total_workers: int
    min_workers: int
    max_rounds: int
    lease_s: float
    max_samples: int
    round_deadline_s: float
    offer_deadline_s: float
    is_local: bool


def run_options(run_id: str, settings: Settings, layout: Layout) -> RunOptions:
    """Build the options from the settings.

    With a round deadline and no offer deadline, offers get half of the round's.

    Raises
    ------
    ConfigError
        If the settings contradict each other.
    """
    system, rules = settings.system, rules_from_settings(settings)
    check_room(system.total_workers, layout, rules)
    upload_selection.check_admits(8 * longest_upload(system.total_workers, layout, rules), rules)
    return RunOptions(
        run_id,
        system.seed,
        for_workers(settings),
        rules,
        layout,
        system.total_workers,
        system.min_workers,
        system.max_rounds,
        system.lease_s,
        system.max_samples,
        system.round_deadline_s,
        system.offer_deadline_s or system.round_deadline_s / 2,
        settings.dataset.partition == "local",
    )
