"""The tiers of the tests: the short run, what ``--all`` adds, what only ``--drills`` runs; and what begins first."""

from typing import Container, Dict, List

SHORT, ALL, DRILLS = "short", "all", "drills"

# A folder, a file or a test, from tests/ on -> 1: it is in the short run; 0: it is not; n: every n-th case of each test
# is. The most specific row counts; test_tiers.py asks for one for each file.
IN_SHORT = {
    # without other processes, or with few
    "console": 1,
    "core": 1,
    "deploy": 1,
    "device": 1,
    "drawing": 1,
    "engines": 1,
    "fuzz": 1,
    "links": 1,
    "master": 1,
    "page": 1,
    "protocol": 1,
    "report": 1,
    "sinks": 1,
    "training": 1,
    "worker": 1,
    "test_adding.py": 1,
    "test_commands.py": 1,
    "test_config.py": 1,
    "test_data.py": 1,
    "test_data_page.py": 1,
    "test_docs.py": 1,
    "test_documented_commands.py": 1,
    "test_habits.py": 1,
    "test_launch.py": 1,
    "test_layers.py": 1,
    "test_leftovers.py": 1,
    "test_line_ends.py": 1,
    "test_logfile.py": 1,
    "test_output.py": 1,
    "test_pythons.py": 1,
    "test_readme.py": 1,
    "test_reasons.py": 1,
    "test_reference.py": 1,
    "test_requirements.py": 1,
    "test_scripts.py": 1,
    "test_tiers.py": 1,
    "test_troubleshooting.py": 1,
    "test_write_ahead_log.py": 1,
    "test_wrong_inputs.py": 1,
    # of these, what stands below
    "drills": 0,
    "e2e": 0,
    # whole clusters: the same model, its bytes, a kill, a stop; and kills in one process
    "e2e/test_bytes.py": 1,
    "e2e/test_command_line.py": 1,
    "e2e/test_same_model.py::test_three_implementations_make_the_same_model": 4,
    "e2e/test_stopping.py": 1,
    "drills/test_disk_model.py": 1,
    "drills/test_kills_in_memory.py": 10,
    "drills/test_kills.py::test_killed_here_and_there_the_run_makes_the_same_model": 3,
    # minutes
    "test_bytes_to_accuracy.py": 0,
    "test_pythons.py::test_what_may_differ_there_passes": 0,
    "test_requirements.py::test_the_pip_section_makes_an_environment_in_which_the_programs_run": 0,
    # ssh, browser, LibreOffice, bad links
    "deploy/test_boards.py": 0,
    "deploy/test_local.py": 0,
    "links/test_broken_downloads.py": 0,
    "links/test_cut_links.py": 0,
    "links/test_slow_links.py": 0,
    "links/test_writes.py": 0,
    "page/test_browser.py": 0,
    "page/test_vendored.py": 0,
    "report/test_office.py": 0,
}

# These take long, and --all does not run them. The other tests of drills/ have more cases with --drills.
ONLY_DRILLS = (
    "drills/test_full_at_the_end.py::test_a_disk_that_gets_full_at_any_change_near_the_end_costs_nothing",
    "drills/test_kills.py::test_killed_twice_at_each_point_the_run_makes_the_same_model",
)

# What takes minutes on one core begins first, so that no core waits for it at the end.
FIRST = ("test_pythons.py", "test_requirements.py", "drills", "e2e")


def row_of(nodeid: str, rows: Container[str]) -> str:
    """Return the most specific of the rows for a test, "" if there is none.

    Parameters
    ----------
    nodeid : str
        ``tests/core/test_rng.py::test_name[case]``
    """
    path = nodeid.partition("[")[0].partition("tests/")[2]
    while path and path not in rows:
        path = path.rpartition("::" if "::" in path else "/")[0]
    return path


def tiers_of(nodeids: List[str], rows: Dict[str, int] = IN_SHORT) -> List[str]:
    """Return the tier of each test; one without a row is in the short run."""
    n_cases = {}  # type: Dict[str, int]
    tiers = []
    for nodeid in nodeids:
        test = nodeid.partition("[")[0]
        number = n_cases[test] = n_cases.get(test, -1) + 1
        every = rows.get(row_of(nodeid, rows), 1)
        is_short = every > 0 and number % every == 0
        tiers.append(DRILLS if row_of(nodeid, ONLY_DRILLS) else SHORT if is_short else ALL)
    return tiers


def rank(nodeid: str) -> int:
    """Return the start order of a test: those of FIRST in their order, then all others."""
    row = row_of(nodeid, FIRST)
    return FIRST.index(row) if row else len(FIRST)
