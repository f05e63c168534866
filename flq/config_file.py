"""Reads a configuration, a JSON file and overrides; returns validated settings or raises one sentence.

Example
-------
>>> settings = load_config(None, ["mode=bbit", "b_up=2", "model.lr=0.05"])
>>> settings.flq_algorithm.b_up, settings.model.lr
(2, 0.05)
"""

import difflib
import json
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from pydantic import ValidationError

from .config import SECTIONS, Config, allowed, is_optional
from .core.settings import Settings, rules_from_settings, to_json
from .errors import ConfigError

SEEN = "data_seen"  # in a run's config.json: what was seen of the data, which is no setting
NAMED_SECTIONS = ("dataset", "model")  # a plain text in their place means their `name`


class Given(NamedTuple):
    """A value as written, and where."""

    value: Any
    place: str  # "flq_config.json: model.lr" or "--set lr"


Givens = Dict[Tuple[str, str], Given]  # by (section, key)


def load_config(
    path: Optional[str], overrides: Sequence[str] = (), recorded: Optional[Mapping[str, Any]] = None
) -> Settings:
    """Read a configuration file, apply overrides, validate.

    Parameters
    ----------
    path : str or None
        A JSON file; None = the defaults. Keys are in their sections or, if unique, at the top
        level; both may be mixed. A plain text under ``dataset`` or ``model`` is its ``name``.
    overrides : sequence of str
        ``section.key=value`` or ``key=value``; a value that is not JSON is a text. They override
        the file, and later ones override earlier ones.
    recorded : mapping, optional
        The settings of a run from its journal, instead of a file.

    Raises
    ------
    ConfigError
        With one sentence on the first error, and the number of the others.
    """
    given: Givens = {}
    problems: List[ConfigError] = []
    if path is not None:
        given.update(_sort_in(_read_object(path), path + ": ", problems))
    if recorded is not None:
        given.update(_sort_in(recorded, "the run's own ", problems))
    for override in overrides:
        given.update(_sort_in(_parse_override(override), "--set ", problems))
    if problems:
        raise _first_of(problems)

    values = to_json(Settings())
    for (section, key), item in given.items():
        values[section][key] = item.value
    try:
        settings = Config.model_validate(values).settings()
    except ValidationError as error:
        raise _first_of([_explain(detail, given) for detail in error.errors()]) from None
    rules_from_settings(settings)  # raises if the values do not go together
    return settings


def _read_object(path: str) -> Dict[str, Any]:
    """Read a JSON file that holds one object."""
    hint = "flq_config.json shows a whole configuration"
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file, object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise ConfigError("the configuration file %s cannot be read: %s" % (path, error.strerror), hint) from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            "%s is not JSON: line %d, column %d: %s" % (path, error.lineno, error.colno, error.msg), hint
        ) from None
    except UnicodeDecodeError:
        raise ConfigError("%s is not JSON: it is not UTF-8 text" % path, hint) from None
    except RecursionError:
        raise ConfigError("%s is nested too deeply to be a configuration" % path, hint) from None
    except ValueError as error:  # a duplicate key, a number with thousands of digits
        raise ConfigError("%s cannot be used: %s" % (path, error), hint) from None
    if not isinstance(content, dict):
        raise ConfigError("%s must hold one JSON object, got %s" % (path, _show(content)), hint)
    return content


def _without_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Return the pairs as a dict; raise ValueError for a duplicate key."""
    content: Dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError("key %s is given twice in one object" % _show(key))
        content[key] = value
    return content


def _parse_override(override: str) -> Dict[str, Any]:
    """Turn ``section.key=value`` or ``key=value`` into the object that a file would hold."""
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().rpartition(".")
    if not equals or not key or (dot and not section):
        raise ConfigError(
            "--set must be section.key=value, got %s" % _show(override), "for example --set model.lr=0.05"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    return {section: {key: value}} if dot else {key: value}


def _sort_in(content: Mapping[str, Any], prefix: str, problems: List[ConfigError]) -> Givens:
    """Return each value of an object by section and key; add keys that are unknown or misplaced to ``problems``."""
    given: Givens = {}
    for section, key, value, path in _entries(content, prefix, problems):
        place = prefix + path
        owners = _owners(key)
        if section is None and len(owners) == 1:
            section = owners[0]
        if section not in owners:
            problems.append(ConfigError(_misplaced(section, key, owners), place))
        elif (section, key) in given:
            problems.append(
                ConfigError(
                    "%s.%s is given twice; keep one" % (section, key), "%s and %s" % (given[section, key].place, place)
                )
            )
        else:
            given[section, key] = Given(value, place)
    return given


def _entries(
    content: Mapping[str, Any], prefix: str, problems: List[ConfigError]
) -> Iterator[Tuple[Optional[str], str, Any, str]]:
    """Yield (section or None, key, value, path) of each value, in either form."""
    for name, value in content.items():
        if name == SEEN:
            continue
        if name in SECTIONS and isinstance(value, dict):
            for key, inner in value.items():
                yield name, key, inner, "%s.%s" % (name, key)
        elif name in NAMED_SECTIONS and isinstance(value, str):
            yield name, "name", value, name
        elif name in SECTIONS:
            problems.append(
                ConfigError("section %s must be an object of keys, got %s" % (name, _show(value)), prefix + name)
            )
        elif isinstance(value, dict) and not _owners(name):
            nearest = _nearest(name, {section: section for section in SECTIONS})
            problems.append(ConfigError("unknown section %s%s" % (_show(name), nearest), prefix + name))
        else:
            yield None, name, value, name


def _owners(key: str) -> List[str]:
    """Return the sections that have a key."""
    return [section for section, model in SECTIONS.items() if key in model.model_fields]


def _misplaced(section: Optional[str], key: str, owners: List[str]) -> str:
    """Return a message: where a key belongs, or which known key or section is nearest."""
    if owners and section is None:
        return "%s is ambiguous here; write %s" % (key, " or ".join("%s.%s" % (owner, key) for owner in owners))
    if owners:
        return "%s belongs to section %s, not to %s" % (key, " or ".join(owners), section)
    known = {
        name: "%s in section %s" % (name, owner) for owner, model in SECTIONS.items() for name in model.model_fields
    }
    if section is None:
        known.update({name: "section " + name for name in SECTIONS})
    else:  # `name` is in two sections: the one that was written is nearer
        known.update({name: "%s in section %s" % (name, section) for name in SECTIONS[section].model_fields})
    return "unknown key %s%s" % (_show(key), _nearest(key, known))


def _nearest(word: str, known: Mapping[str, str]) -> str:
    """Return the end of a message, which names the likely meaning of a misspelt word."""
    spelled = {name.lower(): description for name, description in known.items()}
    close = difflib.get_close_matches(word.lower(), spelled, n=1)
    return "; the nearest is " + spelled[close[0]] if close else "; docs/configuration.md lists all keys"


def _explain(detail: Mapping[str, Any], given: Givens) -> ConfigError:
    """Turn an error of pydantic into a ConfigError."""
    section, key = detail["loc"][:2]
    field = SECTIONS[section].model_fields[key]
    kind, bounds = allowed(field)
    if detail["type"] == "value_error":
        expected = str(detail["ctx"]["error"])
    elif bounds and detail["type"] in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        expected = bounds
    elif detail["type"] == "string_unicode":
        expected = "UTF-8, as all settings: workers get them as text"
    else:
        expected = " ".join(filter(None, (kind, bounds, "or null" * is_optional(field))))
    default = getattr(getattr(Settings(), section), key)
    item = given.get((section, key), Given(default, "the default of %s.%s" % (section, key)))
    return ConfigError("%s must be %s, got %s" % (key, expected, _show(item.value)), item.place)


def _first_of(problems: Sequence[ConfigError]) -> ConfigError:
    """Return the first problem; its hint ends with the number of the others."""
    more = "; and %d more" % (len(problems) - 1) if len(problems) > 1 else ""
    return ConfigError(problems[0].detail, problems[0].hint + more)


def _show(value: Any) -> str:
    """Return a value as JSON, shortened to fit a sentence."""
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
