"""Runs the master program, from its flags to the exit code."""

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import closing
from typing import Any, Dict

from ..config_file import load_config
from ..config_hash import config_hash
from ..core.settings import Settings, to_json
from ..errors import FlqError, Unavailable
from ..journal_file import NAME
from ..logfile import log_trace, set_up_logging
from ..protocol.options import run_options
from ..reasons import named_reason
from ..systemd import Watchdog
from ..tokens import default_path
from ..training.datasets import resolve_dataset
from ..training.frameworks import make_task
from ..training.models import is_custom
from .heap import keep_few_arenas
from .records.artifacts import config_text
from .runtime.assembly import serve
from .storage.journal import check_format
from .storage.resume import check_same_model, find_run, resume_run
from .storage.run_index import newest_unfinished, see

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace, project_dir: str) -> int:
    """Run a master until its run has ended.

    Returns
    -------
    int
        0: the run has ended, and its results are on disk; 1: an error; 2: wrong flags or configuration; 128 + n: signal
        n ended the master.
    """
    args.token_file = args.token_file or default_path(project_dir)
    keep_few_arenas()  # before any thread starts
    try:
        if args.print_config:
            return _print_config(args, project_dir)
        set_up_logging(os.path.join(project_dir, "logs", time.strftime("master_%Y%m%d_%H%M%S.log")), args.verbose)
        config = _config(args, project_dir)
        results_dir = os.path.join(project_dir, config.report.results_dir)
        if args.start_once is not None:
            newest = newest_unfinished(results_dir)
            if newest is not None:
                args.resume = newest.run_dir
            elif not os.path.exists(args.start_once):
                logger.info(
                    "nothing to do: there is no unfinished run in %s, and no file %s, which requests a new one",
                    results_dir,
                    args.start_once,
                )
                Watchdog(os.environ).ready()  # a service that ends without it counts as failed for systemd
                return 0
        if args.resume is None:
            return serve(args, config, project_dir)
        past = resume_run(args.resume, results_dir)
        with past.lock, closing(past.journal):  # a rejected run is left as it was
            return serve(args, _config_of(past.about, args, config), project_dir, past)
    except Unavailable as error:
        logger.error("%s", error)
        return 1
    except FlqError as error:
        logger.error("%s", error)
        return 2
    except KeyboardInterrupt:  # before there is a run to interrupt
        return 128 + signal.SIGINT
    except OSError as error:
        logger.error("%s: %s", error.strerror or "failed", error.filename or error)
        return 1
    except Exception as error:  # a bug, or too little memory
        logger.error("the master cannot continue: %s", named_reason(error))
        log_trace(logger, error)
        return 1


def _config(args: argparse.Namespace, project_dir: str) -> Settings:
    return load_config(args.config or os.path.join(project_dir, "flq_config.json"), args.overrides)


def _config_of(about: Dict[str, Any], args: argparse.Namespace, config: Settings) -> Settings:
    """Return the configuration to resume a run with: ``config`` if it is of --config, otherwise the run's own."""
    if args.config is None:
        config = load_config(None, args.overrides, about["settings"])
    if config.dataset.name != about["settings"]["dataset"]["name"]:
        try:
            resolve_dataset(config)
        except FlqError:  # another data set does not fit the run's other settings: that is not the mistake
            check_same_model(about["run_id"], about, config)
            raise
    return config


def _print_config(args: argparse.Namespace, project_dir: str) -> int:
    """Write the configuration of a run to stdout as a configuration file; raise FlqError if it is invalid.

    With --resume or --start_once, it must also be valid for the run to resume, if there is one; with --resume it is
    the run's own, and stderr names the run.
    """
    config, run_id = _config(args, project_dir), ""
    results_dir = os.path.join(project_dir, config.report.results_dir)
    past = None
    if args.start_once is not None:
        past = newest_unfinished(results_dir)
    elif args.resume is not None:
        past = see(find_run(args.resume, results_dir))
        check_format(os.path.join(past.run_dir, NAME), past.about["format"])
        config, run_id = _config_of(past.about, args, config), past.about["run_id"]
    settings = resolve_dataset(config)
    task = make_task(settings)
    task.check()
    if past is not None:
        check_same_model(past.about["run_id"], past.about, settings)
    if not is_custom(config.model.name):
        run_options("", settings, task.layout)
    sys.stdout.write(config_text(to_json(settings)))
    sys.stderr.write("configuration %s%s\n" % (config_hash(to_json(settings)), run_id and " of run " + run_id))
    return 0
