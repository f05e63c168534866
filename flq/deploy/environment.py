"""The virtual environment of a machine and its packages."""

import hashlib
import os
import sys
from typing import List, NamedTuple, Optional

from .facts import Fit
from .hosts import Host
from .ssh import DeployError
from .units import absolute


class Environment(NamedTuple):
    """An environment, by what is in it: the same requirements for the same Python make the same name."""

    name: str
    requirements: bytes
    fit: Fit


def given_environment(host: Host, home: str) -> Optional[str]:
    """Return the folder of a virtual environment that is there already; None: one has to be made.

    The master on this machine takes the one in which the deployment itself runs: deploy_jetson.sh has made it.
    """
    given = host.access.environment
    if given != "auto":
        return os.path.dirname(os.path.dirname(absolute(given, home)))
    return sys.prefix if host.is_local and host.master is not None else None


def environment_of(fit: Fit, project_dir: str, is_offline: bool) -> Environment:
    """Return the environment for what fits.

    Parameters
    ----------
    fit : Fit
    project_dir : str
    is_offline : bool
        Whether packages come from a wheelhouse only: then no line names an index, which an old pip would ask.
    """
    lines = requirement_lines(os.path.join(project_dir, "requirements"), fit.requirements + ".txt")
    kept = [line for line in lines if not (is_offline and line.startswith("--"))]
    said = "\n".join([fit.version, fit.pip or ""] + lines)  # the name does not depend on how it is filled
    name = "%s-%s" % (fit.requirements, hashlib.sha256(said.encode("utf-8")).hexdigest()[:10])
    return Environment(name, "".join(line + "\n" for line in kept).encode("utf-8"), fit)


def requirement_lines(folder: str, name: str) -> List[str]:
    """Return the lines of a requirements file and of its includes, without comments."""
    lines: List[str] = []
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            for line in stream:
                text = line.split("#")[0].strip()
                if text.startswith("-r "):
                    lines += requirement_lines(folder, text[3:].strip())
                elif text:
                    lines.append(text)
    except OSError as error:
        raise DeployError("%s cannot be read: %s" % (os.path.join(folder, name), error.strerror)) from None
    return lines
