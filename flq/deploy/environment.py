"""Chooses the virtual environment of a machine and its packages."""

import hashlib
import os
import sys
from typing import List, NamedTuple, Optional

from .facts import Fit
from .hosts import Host
from .ssh import DeployError
from .units import absolute


class Environment(NamedTuple):
    """A virtual environment, named by a hash of its Python and its requirements."""

    name: str
    requirements: bytes
    fit: Fit


def given_environment(host: Host, home: str) -> Optional[str]:
    """Return the folder of an existing virtual environment to use; None = one must be created.

    A master on this machine uses the environment of the deployment itself, which deploy_jetson.sh has created.
    """
    given = host.access.environment
    if given != "auto":
        return os.path.dirname(os.path.dirname(absolute(given, home)))
    return sys.prefix if host.is_local and host.master is not None else None


def environment_of(fit: Fit, project_dir: str, is_offline: bool) -> Environment:
    """Return the environment for a choice of packages.

    Parameters
    ----------
    fit : Fit
    project_dir : str
    is_offline : bool
        Whether packages come from a wheelhouse only. Lines that name an index are then dropped, because an old pip
        would query it.
    """
    lines = requirement_lines(os.path.join(project_dir, "requirements"), fit.requirements + ".txt")
    kept = [line for line in lines if not (is_offline and line.startswith("--"))]
    content = "\n".join([fit.version, fit.pip or ""] + lines)  # the same name, online and offline
    name = "%s-%s" % (fit.requirements, hashlib.sha256(content.encode("utf-8")).hexdigest()[:10])
    return Environment(name, "".join(line + "\n" for line in kept).encode("utf-8"), fit)


def requirement_lines(folder: str, name: str) -> List[str]:
    """Return the lines of a requirements file and the files that it includes, without comments."""
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
