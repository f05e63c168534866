"""The settings of a run: their defaults, what they may be, and how they are read.

One model, one section per class; every field says its unit and meaning, and
docs/configuration.md is made from it. Input is checked here once and trusted afterwards.
Only the master reads a configuration: workers receive :meth:`Config.settings` when they
register.

Example
-------
>>> config = load_config(None, ["b_up=2", "model.lr=0.05"])
>>> config.flq_algorithm.b_up, config.settings()["model"]["lr"]
(2, 0.05)
"""

import difflib
import json
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    Literal,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from .core.rules import rules_from_settings
from .errors import ConfigError

EXACT_IN_FLOAT = 2 ** 53  # up to here every whole number is a float64
NAMED_SECTIONS = ("dataset", "model")  # a plain text in their place means their `name`


class Section(BaseModel):
    """What all sections share: no conversions, no unknown keys, no NaN, no changes later."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_as_in_json(cls, value: Any, info: ValidationInfo) -> Any:
        """Let 3.0 pass as 3, since JSON has only one kind of number, but not Python's true as 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise PydanticCustomError("not_a_number", "true and false are not numbers")
        if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_IN_FLOAT:
            return int(value)
        return value


class System(Section):
    """How many workers and rounds, how long to wait, and what fixes the numbers."""

    total_workers: int = Field(
        4, ge=1, le=4096, description="Number of workers that may join; ids are 0..total_workers-1.")
    min_workers: int = Field(
        4, ge=1, description="Number of workers that must be there before a round opens; at most total_workers.")
    max_rounds: int = Field(30, ge=1, description="Number of rounds of the run.")
    round_deadline_s: float = Field(
        0.0, ge=0, description="Seconds after which a round closes with those who answered; 0 = none.")
    offer_deadline_s: float = Field(
        0.0, ge=0, description="Seconds after which grants go to the offers that came in; 0 = none.")
    lease_s: float = Field(
        300.0, gt=0, description="Seconds without a sign of life after which a worker counts as lost.")
    linger_s: float = Field(
        30.0, ge=0, description="Seconds that the master stays after the last round, so that every worker hears "
                                "of the end.")
    give_up_s: float = Field(
        3600.0, gt=0, description="Seconds for which a worker tries to reach a master that is away.")
    seed: int = Field(42, ge=0, le=2 ** 63 - 1, description="Seed from which all randomness of the run is drawn.")
    deterministic: bool = Field(True, description="Whether TensorFlow uses only operations that repeat bit for bit.")
    threads: int = Field(
        1, ge=1, description="Number of intra-op and of inter-op threads of TensorFlow on a worker; it is part of "
                             "what fixes the model bit for bit.")

    @field_validator("min_workers")
    @classmethod
    def _quorum_can_be_met(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("total_workers", value):
            raise ValueError("at most total_workers = %d" % info.data["total_workers"])
        return value


class Dataset(Section):
    """What the workers learn from, and who holds which part."""

    name: str = Field("digits", min_length=1, description="Name of the data set.")
    batch_size: int = Field(32, ge=1, description="Number of samples in a minibatch.")
    partition: Literal["iid", "non_iid"] = Field(
        "iid", description="How samples are dealt out: evenly at random, or with class shares drawn from a "
                           "Dirichlet distribution.")
    dir_alpha: float = Field(
        0.5, gt=0, description="Concentration of that Dirichlet distribution; smaller = less even.")
    data_dir: Optional[str] = Field(
        None, min_length=1, description="Folder with the data set's files; not needed for digits, which come with "
                                        "FLQ.")


class Model(Section):
    """What is trained, by which steps on the worker and which on the master."""

    name: Literal["mlp", "cnn_small", "quadratic"] = Field("mlp", description="Name of the model.")
    lr: float = Field(0.1, gt=0, description="Learning rate of the local optimizer.")
    l2: float = Field(0.0, ge=0, description="Weight of the squared norm of the parameters in the training loss.")
    local_epochs: int = Field(
        1, ge=0, description="Passes over a worker's data in a round; 0 only with local_steps > 0.")
    local_steps: int = Field(
        0, ge=0, description="Minibatches in a round, in place of local_epochs; 0 = go by local_epochs.")
    server_optimizer: Literal["sgd"] = Field("sgd", description="How the master steps along the aggregate.")
    server_lr: float = Field(1.0, gt=0, description="Step of the server optimizer; 1 with sgd = federated averaging.")
    dim: int = Field(
        1000, ge=4, description="Number of parameters of model quadratic; the other models do not read it.")

    @field_validator("local_steps")
    @classmethod
    def _a_round_trains(cls, value: int, info: ValidationInfo) -> int:
        if value == 0 and info.data.get("local_epochs") == 0:
            raise ValueError("> 0 when local_epochs is 0")
        return value


class FlqAlgorithm(Section):
    """How an update becomes bytes."""

    mode: Literal["fedavg", "bbit", "bin"] = Field(
        "bbit", description="How updates are coded: exact float32, b_up bits on a grid, or sign and mean "
                            "magnitude.")
    b_up: int = Field(
        4, ge=1, le=8, description="Bits per parameter from worker to master in mode bbit; 1 = mode bin.")
    b_down: Optional[Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 32]] = Field(
        None, description="Bits per parameter from master to worker; 0 or 32 = float32, null = as many as upwards.")
    memory: Optional[Literal["none", "residual", "mirror"]] = Field(
        None, description="What a worker remembers of what was not sent; null = what the mode stands for.")


class LazySelection(Section):
    """When a worker that has little to say stays silent."""

    D: int = Field(10, ge=1, description="Number of past aggregates that the energy of an update is compared with.")
    ck: float = Field(0.8, ge=0, description="Sum of the weights of those aggregates.")
    C: int = Field(50, ge=0, description="Rounds in a row that a worker may stay silent or be refused.")
    warmup: int = Field(0, ge=0, description="Number of first rounds in which nobody stays silent.")
    thr_scale: Optional[float] = Field(
        None, ge=0, description="Factor of the threshold, 0 = never skip; null = 1 with memory mirror and 0 "
                                "otherwise.")


class BudgetSelection(Section):
    """How much the workers may send in a round."""

    sel_clients: int = Field(0, ge=0, description="Number of workers that may upload in a round; 0 = all.")
    up_budget_bits: int = Field(0, ge=0, description="Payload bits that may be uploaded in a round; 0 = no limit.")


class Report(Section):
    """Where results go."""

    results_dir: str = Field(
        "results", min_length=1, description="Folder for the journals of runs and the Excel files.")
    max_evaluation_backlog: int = Field(
        8, ge=1, description="Number of evaluations that may wait; older ones are left empty in the sheet.")


class Config(Section):
    """The validated settings of a run."""

    system: System = System()
    dataset: Dataset = Dataset()
    model: Model = Model()
    flq_algorithm: FlqAlgorithm = FlqAlgorithm()
    lazy_selection: LazySelection = LazySelection()
    budget_selection: BudgetSelection = BudgetSelection()
    report: Report = Report()

    def settings(self) -> Dict[str, Dict[str, Any]]:
        """Return all values as ``{section: {key: value}}``, ready for JSON."""
        return self.model_dump()


SECTIONS = {name: type(field.default) for name, field in Config.model_fields.items()}


class Given(NamedTuple):
    """A value as somebody wrote it, and where."""

    value: Any
    place: str  # "flq_config.json: model.lr" or "--set lr"


Givens = Dict[Tuple[str, str], Given]  # by (section, key)


def load_config(path: Optional[str], overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file, apply overrides, validate.

    Parameters
    ----------
    path : str or None
        A JSON file; None = the defaults. Keys stand in their sections or, since they are
        unique, at the top level; both may be mixed. A plain text under ``dataset`` or
        ``model`` is its ``name``.
    overrides : sequence of str
        ``section.key=value`` or ``key=value``; the value is read as JSON, or else as text.
        They win over the file, and later ones over earlier ones.

    Raises
    ------
    ConfigError
        With one sentence on the first thing that is wrong, and how many more there are.
    """
    given: Givens = {}
    problems: List[ConfigError] = []
    if path is not None:
        given.update(_sort_in(_read_object(path), path + ": ", problems))
    for override in overrides:
        given.update(_sort_in(_parse_override(override), "--set ", problems))
    if problems:
        raise _first_of(problems)

    values: Dict[str, Dict[str, Any]] = {}
    for (section, key), item in given.items():
        values.setdefault(section, {})[key] = item.value
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise _first_of([_explain(detail, given) for detail in error.errors()]) from None
    rules_from_settings(config.settings())  # raises if the values do not go together
    return config


def allowed(field: FieldInfo) -> Tuple[str, str]:
    """Say what a field may be: its kind ("a whole number") and its range ("in 1..8" or "")."""
    annotation = field.annotation
    if is_optional(field):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        kind = "one of " + ", ".join(str(value) for value in get_args(annotation))
    else:
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[annotation]
    bounds: Dict[str, Any] = {}
    for constraint in field.metadata:
        bounds.update({name: getattr(constraint, name) for name in ("ge", "gt", "le", "min_length")
                       if hasattr(constraint, name)})
    if "le" in bounds:
        return kind, "in %d..%d" % (bounds["ge"], bounds["le"])
    for name, words in (("ge", ">= %d"), ("gt", "> %d"), ("min_length", "of at least %d character")):
        if name in bounds:
            return kind, words % bounds[name]
    return kind, ""


def is_optional(field: FieldInfo) -> bool:
    """Say whether a field may be null."""
    return type(None) in get_args(field.annotation)


def _read_object(path: str) -> Dict[str, Any]:
    """Read a JSON file that holds one object."""
    hint = "flq_config.json shows a whole configuration"
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file, object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise ConfigError("the configuration file %s can not be read: %s" % (path, error.strerror), hint) from None
    except json.JSONDecodeError as error:
        raise ConfigError("%s is not JSON: line %d, column %d: %s" % (path, error.lineno, error.colno, error.msg),
                          hint) from None
    except UnicodeDecodeError:
        raise ConfigError("%s is not JSON: it is not UTF-8 text" % path, hint) from None
    except RecursionError:
        raise ConfigError("%s is nested too deeply to be a configuration" % path, hint) from None
    except ValueError as error:  # a key that stands twice, a number with thousands of digits
        raise ConfigError("%s can not be used: %s" % (path, error), hint) from None
    if not isinstance(content, dict):
        raise ConfigError("%s must hold one JSON object, got %s" % (path, _show(content)), hint)
    return content


def _without_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Build an object, or name the key that stands in it twice."""
    content: Dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError("key %s stands twice in one object" % _show(key))
        content[key] = value
    return content


def _parse_override(override: str) -> Dict[str, Any]:
    """Turn ``section.key=value`` or ``key=value`` into the object that a file would hold."""
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().rpartition(".")
    if not equals or not key or (dot and not section):
        raise ConfigError("--set must be section.key=value, got %s" % _show(override),
                          "for example --set model.lr=0.05")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    return {section: {key: value}} if dot else {key: value}


def _sort_in(content: Dict[str, Any], prefix: str, problems: List[ConfigError]) -> Givens:
    """Put each value of one object under its section and key; add what has no place to ``problems``."""
    given: Givens = {}
    for section, key, value, path in _entries(content, prefix, problems):
        place = prefix + path
        owners = _owners(key)
        if section is None and len(owners) == 1:
            section = owners[0]
        if section not in owners:
            problems.append(ConfigError(_misplaced(section, key, owners), place))
        elif (section, key) in given:
            problems.append(ConfigError("%s.%s is given twice; keep one" % (section, key),
                                        "%s and %s" % (given[section, key].place, place)))
        else:
            given[section, key] = Given(value, place)
    return given


def _entries(content: Dict[str, Any], prefix: str,
             problems: List[ConfigError]) -> Iterator[Tuple[Optional[str], str, Any, str]]:
    """Yield (section or None, key, value, path) of each value, whichever form it was written in."""
    for name, value in content.items():
        if name in SECTIONS and isinstance(value, dict):
            for key, inner in value.items():
                yield name, key, inner, "%s.%s" % (name, key)
        elif name in NAMED_SECTIONS and isinstance(value, str):
            yield name, "name", value, name
        elif name in SECTIONS:
            problems.append(ConfigError("section %s must be an object of keys, got %s" % (name, _show(value)),
                                        prefix + name))
        elif isinstance(value, dict) and not _owners(name):
            nearest = _nearest(name, {section: section for section in SECTIONS})
            problems.append(ConfigError("unknown section %s%s" % (_show(name), nearest), prefix + name))
        else:
            yield None, name, value, name


def _owners(key: str) -> List[str]:
    """Return the sections that have a key."""
    return [section for section, model in SECTIONS.items() if key in model.model_fields]


def _misplaced(section: Optional[str], key: str, owners: List[str]) -> str:
    """Say where a key belongs, or which known key or section comes nearest."""
    if owners and section is None:
        return "%s is ambiguous here; write %s" % (key, " or ".join("%s.%s" % (owner, key) for owner in owners))
    if owners:
        return "%s belongs to section %s, not to %s" % (key, " or ".join(owners), section)
    known = {name: "%s in section %s" % (name, owner)
             for owner, model in SECTIONS.items() for name in model.model_fields}
    if section is None:
        known.update({name: "section " + name for name in SECTIONS})
    else:  # `name` stands in two sections: the one that was asked for is nearer
        known.update({name: "%s in section %s" % (name, section) for name in SECTIONS[section].model_fields})
    return "unknown key %s%s" % (_show(key), _nearest(key, known))


def _nearest(word: str, known: Mapping[str, str]) -> str:
    """Return the half-sentence that names the likely meaning of a misspelt word."""
    spelled = {name.lower(): description for name, description in known.items()}
    close = difflib.get_close_matches(word.lower(), spelled, n=1)
    return "; the nearest is " + spelled[close[0]] if close else "; docs/configuration.md lists what there is"


def _explain(detail: Mapping[str, Any], given: Givens) -> ConfigError:
    """Say in our words what pydantic found wrong with a value."""
    section, key = detail["loc"][:2]
    field = SECTIONS[section].model_fields[key]
    kind, bounds = allowed(field)
    if detail["type"] == "value_error":
        expected = str(detail["ctx"]["error"])
    elif detail["type"] in ("greater_than", "greater_than_equal", "less_than_equal"):
        expected = bounds
    else:
        expected = " ".join(filter(None, (kind, bounds, "or null" * is_optional(field))))
    item = given.get((section, key), Given(field.default, "the default of %s.%s" % (section, key)))
    return ConfigError("%s must be %s, got %s" % (key, expected, _show(item.value)), item.place)


def _first_of(problems: Sequence[ConfigError]) -> ConfigError:
    """Return the first problem, with the number of the others."""
    more = "; and %d more" % (len(problems) - 1) if len(problems) > 1 else ""
    return ConfigError(problems[0].detail, problems[0].hint + more)


def _show(value: Any) -> str:
    """Write a value as JSON, short enough for a sentence."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
