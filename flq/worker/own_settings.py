"""The worker's own settings: a file, flags, and how they override the master's.

Device settings and data_dir come from the command line, then the worker's own file, then the
master. If all of them leave data_dir null, the data layer looks into the environment, see
``training.sources.published``. Everything else comes from the master, with two exceptions: the network never decides
which code runs here, nor which files are read outside of the worker's own data_dir.

The file is JSON. It may be a whole configuration, such as the master's, in sections or flat;
only section jetson_optimization, dataset.data_dir and system.master_url are read from it.
"""

import argparse
import json
import os
import socket
import ssl
from typing import Any, Dict, List, NamedTuple, Optional
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies

from ..addresses import host_in, host_of, url_of
from ..core.settings import JetsonOptimizationSettings, Settings, value_from_json
from ..errors import ConfigError, DataError
from ..reasons import reason_of
from ..training.custom_model import require_allowed
from ..training.datasets import FILES
from ..training.models import is_custom

DEVICE = "jetson_optimization"
TAKEN = ((DEVICE, JetsonOptimizationSettings._fields), ("dataset", ("data_dir",)), ("system", ("master_url",)))


class OwnFile(NamedTuple):
    """The settings in a worker's own file; ``device`` holds the keys of jetson_optimization that it sets."""

    device: Dict[str, Any] = {}
    data_dir: Optional[str] = None
    master_url: Optional[str] = None


def read_own_file(path: Optional[str]) -> OwnFile:
    """Return the settings in a worker's own file; none for None.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no JSON object, or a value has the wrong type.
    """
    if path is None:
        return OwnFile()
    content = _read_object(path)
    own = {}  # type: Dict[str, Any]
    for section, keys in TAKEN:
        inner = content.get(section, {})
        if isinstance(inner, str) and section == "dataset":
            inner = {}  # a plain text under dataset is its name, which the master sets
        if not isinstance(inner, dict):
            raise ConfigError("%s: section %s must be an object of keys" % (path, section))
        unknown = sorted(set(inner) - set(keys)) if section == DEVICE else []
        if unknown:
            raise ConfigError(
                "%s: unknown key %r in section %s, expected one of %s"
                % (path, unknown[0], section, ", ".join(sorted(keys)))
            )
        twice = [key for key in keys if key in inner and key in content]
        if twice:
            raise ConfigError("%s: %s.%s is given twice; keep one" % (path, section, twice[0]))
        given = dict(content, **inner)
        for key in keys:
            if key in given:
                own[key] = value_from_json(section, key, given[key], "%s: %s.%s" % (path, section, key))
    data_dir, master_url = own.pop("data_dir", None), own.pop("master_url", None)
    return OwnFile(own, data_dir, master_url)


def master_url(args: argparse.Namespace, own: OwnFile) -> str:
    """Return the master's URL, from the flags or the file's system.master_url.

    The flags are --master_ip and --port; the scheme is https with --tls or --ca.

    Raises
    ------
    ConfigError
        If neither is given, or the file's is not http://host:port.
    """
    if args.master_ip is not None:
        return url_of("https" if args.tls or args.ca is not None else "http", args.master_ip, args.port)
    url = own.master_url
    if url is None:
        raise ConfigError("the master's address is missing: use --master_ip, or system.master_url in a --config file")
    if not _is_address(url):
        raise ConfigError("system.master_url must be http://host:port, got %r" % url)
    if (args.tls or args.ca is not None) and not url.startswith("https:"):
        raise ConfigError("system.master_url must be https://host:port with --tls or --ca, got %r" % url)
    return url_of(urlsplit(url).scheme, host_in(url), urlsplit(url).port)


def check_name(url: str) -> None:
    """Check that this machine knows the name in the master's URL, unless a proxy may know it.

    Raises
    ------
    ConfigError
        If it does not. While the network is down this cannot be told, and is no error.
    """
    if get_environ_proxies(url):
        return
    host = host_in(url)
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise ConfigError(
                "no machine of the name %s is known here" % host,
                "--master_ip must be the name or the IP address of the master's machine",
            ) from None
    except UnicodeError:  # the first request says why
        return


def trusted_file(args: argparse.Namespace) -> Optional[str]:
    """Return the file of certificates that --ca names, or None.

    Raises
    ------
    ConfigError
        If it holds none.
    """
    if args.ca is not None:
        try:
            ssl.create_default_context(cafile=args.ca)
        except OSError as error:
            raise ConfigError(
                "--ca must name a file of certificates, PEM; %s is not one: %s" % (args.ca, error.strerror or error)
            ) from None
    return args.ca


def effective_settings(settings: Settings, own: OwnFile, args: argparse.Namespace) -> Settings:
    """Return the master's settings with this worker's own in place.

    Parameters
    ----------
    settings : Settings
        As the master sent them.
    own : OwnFile
    args : Namespace
        Read: data_dir, gpu_memory_limit_mb, model.

    Raises
    ------
    DataError
        If the master asks for a model whose code the command line does not name, or for a file
        outside of this worker's own data_dir.
    """
    if is_custom(settings.model.name):
        require_allowed(settings.model.name, args.model)
    dataset, device = settings.dataset, settings.jetson_optimization._replace(**own.device)
    data_dir = own.data_dir if args.data_dir is None else args.data_dir
    if data_dir is not None:
        dataset = dataset._replace(data_dir=os.path.abspath(data_dir))
        _require_inside(dataset.name, dataset.data_dir)
    if args.gpu_memory_limit_mb is not None:
        device = device._replace(gpu_memory_limit_mb=args.gpu_memory_limit_mb)
    return settings._replace(dataset=dataset, jetson_optimization=device)


def _require_inside(name: str, data_dir: str) -> None:
    """Reject a data set's file (npz:FILE, ...) that may lie outside of the worker's own folder."""
    prefix, _, path = name.partition(":")
    if prefix in FILES and (os.path.isabs(path) or path.startswith("~") or ".." in path.replace("\\", "/").split("/")):
        raise DataError(
            "the master asks for the data set %s, but this worker's data are in %s" % (name, data_dir),
            hint="the master's dataset.name must be a relative path without .., or start this worker "
            "without a data_dir of its own",
        )


def _read_object(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as stream:
            content = json.load(stream)
    except OSError as error:
        raise ConfigError("the worker's file %s cannot be read: %s" % (path, error.strerror)) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError("the worker's file %s is not JSON: %s" % (path, reason_of(error))) from None
    if not isinstance(content, dict):
        raise ConfigError("the worker's file %s must hold one JSON object" % path)
    return content


def _is_address(url: str) -> bool:
    """Return whether a text is http://host:port, or https, and nothing more."""
    try:
        parts = urlsplit(url)
        has_port = parts.port is not None
        host_of(host_in(url))
    except ValueError:
        return False
    rest: List[str] = [parts.path.strip("/"), parts.query, parts.fragment]
    return (
        parts.scheme in ("http", "https")
        and has_port
        and "@" not in parts.netloc
        and not any(rest)
        and not any(letter.isspace() for letter in url)
    )
