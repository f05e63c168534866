"""The settings of a run: allowed values and meanings.

One pydantic model per section, checked on the master. The field descriptions are the source of docs/configuration.md.
The defaults stand in core/settings/sections.py. config_file.py reads settings from a file. Only the master reads a
configuration: workers receive the settings when they register.
"""

from typing import (
    Annotated,
    Any,
    Dict,
    Iterable,
    List,
    Literal,
    Mapping,
    Optional,
    Tuple,
    Type,
    cast,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .core.codecs import MODES, lossless
from .core.data_report import LARGEST_SCALE, LEAST_SCALE
from .core.schedule import SCHEDULES
from .core.settings import GRANT_ORDERS, LIMITS, MEMORIES, OWN_KEYS, UPDATES, Settings, settings_from_json
from .core.strategies import AGGREGATORS, SERVER_OPTIMIZERS
from .sinks.trackers import TRACKERS
from .training.datasets import dataset_names
from .training.frameworks import model_names
from .training.local_optimizers import LOCAL_OPTIMIZERS
from .training.partition import LOCAL, PARTITIONS

EXACT_IN_FLOAT = 2**53  # up to here every whole number is a float64
LONGEST_S = 1e9  # 31 years; beyond it threads and sockets refuse to wait
MEANINGS = [mode.meaning for mode in MODES.values()]
Options = Dict[str, Any]  # numbers: core.strategies.options_of checks them
Shape = Annotated[List[Annotated[int, Field(ge=1, le=10**5)]], Field(min_length=3, max_length=3)]


class OneOf:
    """Annotates a text that must be one of some names: those of a table's rows, say."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))


def options_in(table: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the options of the rows of a table of strategies in words, with their defaults, for :func:`allowed`."""
    return {
        "options": [
            "%s: %s" % (name, ", ".join("%s %r" % option for option in row.options._asdict().items()))
            for name, row in table.items()
            if row.options
        ]
    }


class Section(BaseModel):
    """Base of all sections: no conversions, no unknown keys, no NaN, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_as_in_json(cls, value: Any, info: ValidationInfo) -> Any:
        """Accept 3.0 as 3, because JSON has one kind of number, but reject true as 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise PydanticCustomError("not_a_number", "true and false are not numbers")
        if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_IN_FLOAT:
            return int(value)
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a text without null characters")
        return value


def limited(key: str, description: str) -> Any:
    """Return the field of a number with the limits that a worker checks too."""
    lowest, highest = LIMITS[key]
    return Field(ge=lowest, le=highest, description=description)


class System(Section):
    """Numbers of workers and rounds, time limits, reproducibility."""

    total_workers: int = Field(
        ge=1, le=4096, description="Number of workers that may join; ids are 0..total_workers-1."
    )
    min_workers: Optional[int] = Field(
        ge=1,
        description="Number of workers that must join before the first round opens; also the quorum at a "
        "round deadline; at most total_workers; null = all of them.",
    )
    max_rounds: int = Field(ge=1, le=10**9, description="Number of rounds of the run.")
    round_deadline_s: float = Field(
        ge=0,
        le=LONGEST_S,
        description="Seconds after which a round closes with the workers that have answered; 0 = no deadline.",
    )
    offer_deadline_s: float = Field(
        ge=0,
        le=LONGEST_S,
        description="Seconds after which the master grants the offers received so far; 0 = half of "
        "round_deadline_s; must be less than round_deadline_s if both are set.",
    )
    lease_s: float = Field(
        gt=0, le=LONGEST_S, description="Seconds without contact after which a worker counts as lost."
    )
    max_samples: int = Field(
        ge=1,
        le=2**53,
        description="Maximum number of samples per worker: a worker reports this number itself, and its "
        "weight is its share of all samples.",
    )
    linger_s: float = Field(
        ge=0,
        le=LONGEST_S,
        description="Seconds that the master keeps running after the last round, so that every worker learns "
        "of the end.",
    )
    give_up_s: float = Field(
        gt=0, le=LONGEST_S, description="Seconds for which a worker retries while the master does not answer."
    )
    snapshot_every: int = Field(
        ge=1,
        le=10**6,
        description="Rounds between two snapshots of the run; a resume replays the journal from the newest snapshot.",
    )
    snapshots_kept: int = Field(
        ge=1,
        le=1000,
        description="Number of snapshots kept, in case the newest is damaged; all frames after the oldest of "
        "them are kept too.",
    )
    seed: int = Field(ge=0, le=2**63 - 1, description="Seed of all randomness in the run.")
    master_url: Optional[str] = Field(
        min_length=1,
        description="Address of the master, http://host:port, for workers that read a configuration file and "
        "have no --master_ip; ignored by the master.",
    )
    deterministic: bool = Field(
        description="Whether TensorFlow uses only operations that are reproducible bit for bit."
    )
    threads: int = limited(
        "threads",
        "Number of intra-op and inter-op threads of TensorFlow on a worker; the model depends on "
        "it bit for bit; ignored without deterministic.",
    )

    @field_validator("min_workers")
    @classmethod
    def _quorum_can_be_met(cls, value: Optional[int], info: ValidationInfo) -> Optional[int]:
        if value is not None and value > info.data.get("total_workers", value):
            raise ValueError("at most total_workers = %d" % info.data["total_workers"])
        return value

    @field_validator("offer_deadline_s")
    @classmethod
    def _offers_come_before_the_end_of_the_round(cls, value: float, info: ValidationInfo) -> float:
        round_deadline_s = info.data.get("round_deadline_s", 0.0)
        if value and round_deadline_s and value >= round_deadline_s:
            raise ValueError("less than round_deadline_s = %.15g" % round_deadline_s)
        return value


class Dataset(Section):
    """The data set and its partition among the workers."""

    name: str = Field(
        min_length=1,
        description="Name of the data set; own = the data in each worker's own data_dir.",
        json_schema_extra={"names": list(dataset_names())},
    )
    batch_size: int = limited("batch_size", "Number of samples per minibatch; 0 = all of the worker's samples.")
    partition: Annotated[str, OneOf((*PARTITIONS, LOCAL))] = Field(
        description="How samples are partitioned: evenly at random, with class shares drawn from a Dirichlet "
        "distribution, in shards of sorted classes, or not at all: local = each worker has its "
        "own files."
    )
    dir_alpha: float = Field(
        ge=1e-6, le=1e6, description="Concentration of the Dirichlet distribution; smaller = more uneven."
    )
    shards_per_worker: int = Field(ge=1, le=10**6, description="Number of shards per worker, with partition shards.")
    input_shape: Optional[Shape] = Field(
        description="Height, width and channels of a sample; null = from the data set."
    )
    n_classes: Optional[int] = limited("n_classes", "Number of classes; null = from the data set.")
    test_fraction: float = Field(
        gt=0, lt=1, description="Fraction of the samples held out for testing if the data set has no test set."
    )
    data_dir: Optional[str] = Field(
        min_length=1,
        description="Folder with the data set's files, on each machine; null = the environment variable "
        "FLQ_DATA_DIR, then Keras' cache, then a download (for mnist, fashion_mnist and cifar10); "
        "null for your own files = the current folder. Not needed for digits, which come with "
        "FLQ.",
    )
    scale: Optional[float] = Field(
        ge=LEAST_SCALE,
        le=LARGEST_SCALE,
        description="Value that means 1.0: samples are divided by it; null or auto = from the range of the data set.",
    )
    channels: Optional[Literal[1, 3]] = Field(
        description="Channels to which images are converted, 1 = gray, 3 = color; null = 3 in folders of images, as "
        "stored in arrays."
    )
    channels_first: bool = Field(
        description="Whether images in arrays have shape (n, channels, height, width) instead of (n, height, width, "
        "channels)."
    )
    label_column: Optional[str] = Field(
        min_length=1,
        description="Column of the class in a csv file: its heading, or its number from 0, negative from the end; "
        "null = the last.",
    )

    @field_validator("scale", mode="before")
    @classmethod
    def _auto_is_null(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @field_validator("label_column", mode="before")
    @classmethod
    def _a_number_may_be_given(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Model(Section):
    """The model and its optimizers on worker and master."""

    name: str = Field(
        min_length=1,
        description="Name of the model, or your own function, package.module:function.",
        json_schema_extra={"names": list(model_names())},
    )
    lr: float = Field(
        gt=0, le=1e6, description="Learning rate of the local optimizer; with update gradient, of the server optimizer."
    )
    lr_schedule: Annotated[str, OneOf(SCHEDULES)] = Field(description="Schedule of lr over the rounds.")
    lr_decay: float = Field(gt=0, le=1, description="Factor by which lr has decayed after lr_decay_rounds rounds.")
    lr_decay_rounds: int = limited("lr_decay_rounds", "Number of rounds in which lr decays by lr_decay.")
    l2: float = Field(
        ge=0,
        le=1e6,
        description="Coefficient of half the squared norm of the parameters in the training loss; must be 0 "
        "for quadratic.",
    )
    local_optimizer: Annotated[str, OneOf(LOCAL_OPTIMIZERS)] = Field(
        description="Local optimizer of a worker; its state is reset in each round."
    )
    local_momentum: float = Field(ge=0, lt=1, description="Momentum of the local optimizer momentum.")
    mu: float = Field(
        ge=0,
        le=1e6,
        description="Coefficient of half the squared distance to the shared copy in the training loss (FedProx).",
    )
    logit_adjustment: float = Field(
        ge=0,
        le=100,
        description="Coefficient of the log of the worker's class shares, added to the logits in training; 1 "
        "compensates for different class distributions among workers, 0 = off; ignored by "
        "quadratic.",
    )
    local_epochs: int = Field(
        ge=0, le=10**6, description="Epochs over a worker's data per round; 0 only with local_steps > 0."
    )
    local_steps: int = Field(
        ge=0, le=10**6, description="Minibatches per round, instead of local_epochs; 0 = use local_epochs."
    )
    server_optimizer: Annotated[str, OneOf(SERVER_OPTIMIZERS)] = Field(
        description="Server optimizer, which applies the aggregate to the model; adam cannot be used with "
        "memory residual."
    )
    server_lr: float = Field(
        gt=0,
        le=1e6,
        description="Step size of the server optimizer; 1 with sgd = federated averaging; with update "
        "gradient the step size is server_lr * lr.",
    )
    server_momentum: float = Field(ge=0, lt=1, description="Momentum of the server optimizer momentum.")
    server_beta_1: float = Field(ge=0, lt=1, description="Decay of the first moment of the server optimizer adam.")
    server_beta_2: float = Field(ge=0, lt=1, description="Decay of the second moment of the server optimizer adam.")
    server_epsilon: float = Field(ge=1e-30, le=1, description="Epsilon of the server optimizer adam.")
    server_options: Options = Field(
        description="Options of the other server optimizers by name; those left out keep their defaults.",
        json_schema_extra=options_in({name: row for name, row in SERVER_OPTIMIZERS.items() if name not in OWN_KEYS}),
    )
    ema: float = Field(
        ge=0,
        lt=1,
        description="Decay of an exponential moving average of the global model, which is evaluated beside it "
        "and saved as the result; 0 = off.",
    )
    dim: int = Field(ge=4, le=10**9, description="Number of parameters of model quadratic; ignored by other models.")

    @field_validator("local_steps")
    @classmethod
    def _a_round_trains(cls, value: int, info: ValidationInfo) -> int:
        if value == 0 and info.data.get("local_epochs") == 0:
            raise ValueError("> 0 when local_epochs is 0")
        return value


class FlqAlgorithm(Section):
    """Compression of updates."""

    mode: Annotated[str, OneOf(MODES)] = Field(
        description="Compression of updates: " + "; or ".join("; ".join(MEANINGS).rsplit("; ", 1)) + "."
    )
    update: Annotated[str, OneOf(UPDATES)] = Field(
        description="What a worker uploads: the change made by local training, or the gradient of one minibatch."
    )
    b_up: Optional[Literal[1, 2, 3, 4, 5, 6, 7, 8, 32]] = Field(
        description="Uplink bits per parameter in modes bbit and laq, null = 4; 1 with bbit = mode bin; 32 = "
        "float32, with laq only (LAG); must be null in mode lowrank."
    )
    b_down: Optional[Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 32]] = Field(
        description="Downlink bits per parameter; 0 or 32 = float32, null = as on the uplink, and float32 in "
        "mode laq. With memory residual, 2 bits both ways can diverge: then use 3 or more here."
    )
    bytes_up: Optional[int] = Field(
        ge=1,
        le=10**9,
        description="Maximum uplink payload in bytes, in mode lowrank; null or auto = from the model, and "
        "more when the shared copy lags behind.",
    )
    bytes_down: Optional[int] = Field(
        ge=1, le=10**9, description="Maximum downlink payload in bytes, in mode lowrank; null or auto = likewise."
    )
    coding: Annotated[str, OneOf(lossless.SETTINGS)] = Field(
        description="Lossless coding of payloads, used when it makes them smaller: auto = zlib, or zstd for "
        "large payloads if both ends have the package zstandard; zlib; or none. Not used in mode "
        "lowrank, which is entropy coded."
    )
    memory: Optional[Annotated[str, OneOf(MEMORIES)]] = Field(
        description="Memory of the quantization error at a worker; null = the default of the mode."
    )
    aggregator: Annotated[str, OneOf(("auto", *AGGREGATORS))] = Field(
        description="Aggregator, which makes one vector of the updates of a round; auto = the default of the mode."
    )
    aggregator_options: Options = Field(
        description="Options of the aggregator by name; those left out keep their defaults.",
        json_schema_extra=options_in(AGGREGATORS),
    )
    scale_by_selected: bool = Field(
        description="Whether the aggregate is multiplied by the number of uploads of the round / sel_ref; 0 "
        "and 1 are accepted too; cannot be used with memory mirror."
    )
    sel_ref: int = Field(ge=1, le=4096, description="Divisor of the number of uploads in scale_by_selected.")
    clip_global: float = Field(
        ge=0,
        le=1e9,
        description="Maximum Euclidean norm of the aggregate, after scale_by_selected; a longer aggregate is "
        "scaled down; 0 = no limit.",
    )

    @field_validator("bytes_up", "bytes_down", mode="before")
    @classmethod
    def _auto_is_null(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @field_validator("scale_by_selected", mode="before")
    @classmethod
    def _zero_and_one_as_in_flq_v3(cls, value: Any) -> Any:
        return bool(value) if isinstance(value, (int, float)) and value in (0, 1) else value


class LazySelection(Section):
    """When a worker skips a round."""

    D: int = Field(
        ge=1, le=10000, description="Number of past aggregates with which the energy of an update is compared."
    )
    ck: float = Field(
        ge=0,
        le=1e6,
        description="Sum of the weights of these aggregates; the newest has the largest weight, in mode laq "
        "all weights are equal.",
    )
    C: int = Field(
        ge=0,
        le=10**9,
        description="Maximum number of consecutive rounds that a worker may skip; a worker refused that often "
        "takes precedence within the limits.",
    )
    warmup: int = Field(ge=0, le=10**9, description="Number of initial rounds in which no worker skips.")
    thr_scale: Optional[float] = Field(
        ge=0,
        le=1e6,
        description="Factor of the threshold, 0 = never skip; null = 1 with memory mirror and 0 "
        "otherwise; modes fedavg and laq8 have no lazy rule and never skip; laq has its own.",
    )


class BudgetSelection(Section):
    """Limits on the uploads of a round."""

    sel_clients: int = Field(ge=0, le=4096, description="Maximum number of uploads per round; 0 = no limit.")
    up_budget_bits: int = Field(
        ge=0,
        le=10**15,
        description="Maximum payload bits uploaded per round; 0 = no limit. It shortens uploads in mode "
        "lowrank and makes them fewer in the others.",
    )
    grant_by: Annotated[str, OneOf(GRANT_ORDERS)] = Field(
        description="Priority of workers if not all may upload: energy per bit, rounds since the last upload, "
        "the product of both, or random."
    )


class JetsonOptimization(Section):
    """How a worker uses its device; the worker's command line and own file take precedence over the master."""

    gpu_memory_limit_mb: Optional[int] = limited(
        "gpu_memory_limit_mb",
        "Limit in MB of TensorFlow's memory on the GPU; null = 1024 on an original Jetson Nano, "
        "growth on demand elsewhere.",
    )
    enable_mixed_precision: bool = Field(
        description="Whether the GPU computes in float16 where possible; ignored below compute capability 7.0."
    )
    prefetch_size: int = limited("prefetch_size", "Number of batches prefetched on a machine with a GPU; 0 = none.")
    num_parallel_calls: int = limited("num_parallel_calls", "Number of batches prepared in parallel, likewise.")
    cuda_cache_mb: Optional[int] = limited(
        "cuda_cache_mb", "Size in MB of the cache of compiled GPU code; null = CUDA's default."
    )
    telemetry_s: float = limited(
        "telemetry_s",
        "Seconds between two telemetry reports of a worker: load, memory, temperature and power; 0 = none.",
    )


class Report(Section):
    """Results: folder, evaluation, figures, trackers."""

    results_dir: str = Field(
        min_length=1, description="Folder for the workbooks and, in one folder per run, the models."
    )
    evaluation_backlog_mb: int = Field(
        ge=1,
        le=10**6,
        description="Memory in MB for models that wait for evaluation; beyond it the oldest rounds are "
        "evaluated at the end of the run.",
    )
    figure_every: int = Field(
        ge=0,
        le=10**6,
        description="Rounds between two drawings of the figures, as PNG and SVG in figures/<run> of "
        "results_dir; they are also drawn at the end. 0 = no figures.",
    )
    trackers: List[Annotated[str, OneOf(TRACKERS)]] = Field(
        description="Experiment trackers that log every round (docs/trackers.md); a comma-separated text is "
        "accepted instead of the list."
    )

    @field_validator("trackers", mode="before")
    @classmethod
    def _names_with_commas(cls, value: Any) -> Any:
        return list(filter(None, value.replace(" ", "").split(","))) if isinstance(value, str) else value


class Notify(Section):
    """Which notifications are sent; their addresses are secrets, not settings (docs/notifications.md)."""

    every_rounds: int = Field(ge=0, le=10**9, description="Rounds between two progress notifications; 0 = none.")
    every_minutes: float = Field(ge=0, le=10**6, description="Minutes between two progress notifications; 0 = none.")
    best: bool = Field(
        description="Whether to notify of a new best accuracy, at least one percentage point above the last "
        "one reported; without accuracy, of a test loss reduced by a tenth."
    )
    workers: bool = Field(description="Whether to notify when a worker is lost or returns.")
    min_interval_s: float = Field(
        ge=1,
        le=86400,
        description="Minimum seconds between two notifications; events in between are collected in the next one.",
    )
    max_per_hour: int = Field(
        ge=1, le=3600, description="Maximum notifications per hour, likewise; the end of a run is always reported."
    )
    timeout_s: float = Field(
        ge=1, le=600, description="Timeout in seconds of one attempt; failed notifications are retried later."
    )
    figure: bool = Field(
        description="Whether notifications include a small figure of accuracy and loss, if the service accepts images."
    )


class Security(Section):
    """Access without a token, and limits on connections and requests."""

    open_status: bool = Field(
        description="Whether GET /status, GET /healthz and the content of the live page can be read without a token."
    )
    local_operator: bool = Field(
        description="Whether POST /stop and GET /get_global_model need no token on the master's own machine."
    )
    max_connections: int = Field(
        ge=0,
        le=100000,
        description="Maximum number of open connections, as far as ulimit -n allows; 0 = 4 per worker and 256 more.",
    )
    requests_per_s: float = Field(
        ge=0,
        le=1e6,
        description="Maximum requests per second and token, with bursts of two seconds; 0 = no limit, also "
        "without a token.",
    )


class Config(Section):
    """The sections; :meth:`settings` returns what they hold."""

    system: System
    dataset: Dataset
    model: Model
    flq_algorithm: FlqAlgorithm
    lazy_selection: LazySelection
    budget_selection: BudgetSelection
    jetson_optimization: JetsonOptimization
    report: Report
    notify: Notify
    security: Security

    def settings(self) -> Settings:
        """Return the validated settings; ``min_workers`` is a number, so that its two forms have one hash."""
        settings = settings_from_json(self.model_dump())
        return settings._replace(system=settings.system._replace(min_workers=settings.system.quorum))


SECTIONS: Dict[str, Type[Section]] = {
    name: cast(Type[Section], field.annotation) for name, field in Config.model_fields.items()
}


def device_settings(given: Dict[str, Any]) -> Dict[str, Any]:
    """Check some keys of jetson_optimization; return them, with no others."""
    checked = JetsonOptimization.model_validate({**Settings().jetson_optimization._asdict(), **given})
    return {key: getattr(checked, key) for key in given}


def _extra_of(field: FieldInfo) -> Dict[str, Any]:
    return cast(Dict[str, Any], field.json_schema_extra or {})


def allowed(field: FieldInfo) -> Tuple[str, str]:
    """Return the kind ("a whole number") and the range ("in 1..8" or "") of a field."""
    annotation = field.annotation
    if is_optional(field):
        annotation = get_args(annotation)[0]
    if annotation is Options:
        options = _extra_of(field)["options"]
        return "an object of numbers" + (" (%s)" % "; ".join(options) if options else ""), ""
    if annotation is Shape:
        return "a list [height, width, channels], such as [32,32,3] for a color picture, of whole numbers above 0", ""
    choices = [
        name for mark in (*field.metadata, *get_args(annotation)) if isinstance(mark, OneOf) for name in mark.names
    ]
    if get_origin(annotation) is list:
        kind = "a list of any of " + ", ".join(get_args(get_args(annotation)[0])[1].names)
    elif choices or get_origin(annotation) is Literal:
        kind = "one of " + ", ".join(map(str, choices or get_args(annotation)))
    else:
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[cast(type, annotation)]
        names = _extra_of(field).get("names")
        kind += " (%s)" % ", ".join(names) if names else ""
    bounds: Dict[str, Any] = {}
    for constraint in field.metadata:
        bounds.update(
            {
                name: _number(getattr(constraint, name))
                for name in ("ge", "gt", "le", "lt", "min_length")
                if hasattr(constraint, name)
            }
        )
    if "ge" in bounds and "le" in bounds:
        return kind, "in %s..%s" % (bounds["ge"], bounds["le"])
    texts = (
        ("ge", ">= %s"),
        ("gt", "> %s"),
        ("le", "<= %s"),
        ("lt", "< %s"),
        ("min_length", "of at least %s character"),
    )
    words = [text % bounds[name] for name, text in texts if name in bounds]
    return kind, " and ".join(words)


def _number(value: float) -> str:
    """Format a bound: a whole number with all its digits."""
    return "%d" % value if value == int(value) else "%g" % value


def is_optional(field: FieldInfo) -> bool:
    """Tell whether a field may be null."""
    return type(None) in get_args(field.annotation)
