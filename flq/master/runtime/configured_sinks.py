"""Makes the sinks that the settings and the environment configure."""

import importlib.util
import logging
import os
from typing import MutableMapping

from ...core.settings import Settings
from ...errors import ConfigError
from ...launch import argv_of
from ...sinks.notify.secrets import FILE, PROXY, URLS, read_secrets
from ...sinks.trackers import check_installed
from .sinks import Sink, Sinks

logger = logging.getLogger(__name__)


def sinks_of(settings: Settings, environment: MutableMapping[str, str], project_dir: str, results_dir: str) -> Sinks:
    """Return the sinks of a run.

    Parameters
    ----------
    settings : Settings
    environment : mapping
        The secrets for notifications are removed from it, so that no other child of the master gets them.
    project_dir, results_dir : str

    Raises
    ------
    ConfigError
        If a tracker's package is not installed.
    """
    sinks = []
    if settings.report.figure_every:
        if importlib.util.find_spec("matplotlib") is None:
            logger.warning(
                "no figures are drawn: the package matplotlib is missing; install it with pip, or set "
                "report.figure_every to 0"
            )
        else:
            sinks.append(Sink("figures", argv_of("flq.sinks.figures")))
    secrets_file = os.path.join(project_dir, FILE)
    try:
        secrets = read_secrets(environment, secrets_file)
    except ConfigError as error:
        logger.warning("notifications are off: %s", error)
    else:
        if secrets.urls:
            sinks.append(
                Sink(
                    "notifications",
                    argv_of("flq.sinks.notify"),
                    {URLS: "\n".join(secrets.urls), PROXY: secrets.proxy or ""},
                )
            )
    for name in (URLS, PROXY):
        environment.pop(name, None)
    trackers = list(dict.fromkeys(settings.report.trackers))
    check_installed(trackers)
    for name in trackers:
        sinks.append(
            Sink("tracker " + name, argv_of("flq.sinks.trackers", name, os.path.join(results_dir, "trackers", name)))
        )
    return Sinks(sinks)
