"""The settings of a run: their defaults and what they may be.

One model, one section per class; every field says its unit and meaning, and
docs/configuration.md is made from it. How they are read from a file: config_file.py. Only
the master reads a configuration: workers receive :meth:`Config.settings` when they register.
"""

from typing import Annotated, Any, Dict, List, Literal, Optional, Tuple, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

EXACT_IN_FLOAT = 2**53  # up to here every whole number is a float64
LONGEST_S = 1e9  # 31 years; beyond it threads and sockets refuse to wait

Shape = Annotated[List[Annotated[int, Field(ge=1, le=10**5)]], Field(min_length=3, max_length=3)]


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
        4, ge=1, le=4096, description="Number of workers that may join; ids are 0..total_workers-1."
    )
    min_workers: int = Field(
        4,
        ge=1,
        description="Number of workers that must be there before the first round opens; also the quorum at a "
        "round deadline; at most total_workers.",
    )
    max_rounds: int = Field(30, ge=1, le=10**9, description="Number of rounds of the run.")
    round_deadline_s: float = Field(
        0.0, ge=0, le=LONGEST_S, description="Seconds after which a round closes with those who answered; 0 = none."
    )
    offer_deadline_s: float = Field(
        0.0,
        ge=0,
        le=LONGEST_S,
        description="Seconds after which grants go to the offers that came in; 0 = half of "
        "round_deadline_s; where both are set, less than that.",
    )
    lease_s: float = Field(
        300.0, gt=0, le=LONGEST_S, description="Seconds without a sign of life after which a worker counts as lost."
    )
    max_samples: int = Field(
        10**7,
        ge=1,
        le=2**53,
        description="Number of samples that one worker may have: its weight is their share "
        "of all, and it says itself how many they are.",
    )
    linger_s: float = Field(
        30.0,
        ge=0,
        le=LONGEST_S,
        description="Seconds that the master stays after the last round, so that every worker hears of the end.",
    )
    give_up_s: float = Field(
        3600.0, gt=0, le=LONGEST_S, description="Seconds for which a worker tries to reach a master that is away."
    )
    snapshot_every: int = Field(
        10,
        ge=1,
        le=10**6,
        description="Rounds between two snapshots of the run: a restart replays the journal from the newest one on.",
    )
    snapshots_kept: int = Field(
        2,
        ge=1,
        le=1000,
        description="Number of snapshots that are kept, should the newest be damaged; the frames "
        "that come after the oldest of them are kept too.",
    )
    seed: int = Field(42, ge=0, le=2**63 - 1, description="Seed from which all randomness of the run is drawn.")
    master_url: Optional[str] = Field(
        None,
        min_length=1,
        description="Address of the master, http://host:port, for workers that read a "
        "configuration themselves and have no --master_ip; the master does not read "
        "it.",
    )
    deterministic: bool = Field(True, description="Whether TensorFlow uses only operations that repeat bit for bit.")
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Number of intra-op and of inter-op threads of TensorFlow on a worker; it is "
        "part of what fixes the model bit for bit; ignored without deterministic.",
    )

    @field_validator("min_workers")
    @classmethod
    def _quorum_can_be_met(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("total_workers", value):
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
    """What the workers learn from, and who holds which part."""

    name: str = Field(
        "digits",
        min_length=1,
        description="Name of the data set: digits, mnist, fashion_mnist (or fmnist), cifar10, "
        "npz:FILE, images:FOLDER, csv:FILE; own = whatever "
        "lies in each worker's own data_dir.",
    )
    batch_size: int = Field(
        32, ge=0, le=10**6, description="Number of samples in a minibatch; 0 = all that the worker has."
    )
    partition: Literal["iid", "non_iid", "shards", "local"] = Field(
        "iid",
        description="How samples are dealt out: evenly at random, with class shares drawn from a Dirichlet "
        "distribution, in shards of sorted classes, or not at all: local = each worker has files "
        "of its own.",
    )
    dir_alpha: float = Field(
        0.5, ge=1e-6, le=1e6, description="Concentration of that Dirichlet distribution; smaller = less even."
    )
    shards_per_worker: int = Field(2, ge=1, le=10**6, description="Shards that a worker gets, with partition shards.")
    input_shape: Optional[Shape] = Field(
        None, description="Height, width and channels of a sample; null = as the data set has it."
    )
    n_classes: Optional[int] = Field(
        None, ge=2, le=10**6, description="Number of classes; null = as the data set has it."
    )
    test_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the samples that is held back for the test where a data set has no test set of its own.",
    )
    data_dir: Optional[str] = Field(
        None,
        min_length=1,
        description="Folder with the data set's files, on each machine; null = the environment "
        "variable FLQ_DATA_DIR, then Keras' cache, then a download (for mnist, "
        "fashion_mnist and cifar10; files of your own lie in the current folder then). "
        "Not needed for "
        "digits, which come with FLQ.",
    )


class Model(Section):
    """What is trained, by which steps on the worker and which on the master."""

    name: str = Field(
        "mlp",
        min_length=1,
        description="Name of the model: logreg, mlp, cnn, cnn_small, resnet20, quadratic, or a "
        "function of your own, package.module:function.",
    )
    lr: float = Field(
        0.1,
        gt=0,
        le=1e6,
        description="Learning rate of the local optimizer; with update gradient, of the server optimizer.",
    )
    lr_schedule: Literal["constant", "exponential", "step", "cosine"] = Field(
        "constant", description="How lr changes from round to round."
    )
    lr_decay: float = Field(0.1, gt=0, le=1, description="What lr has been multiplied by after lr_decay_rounds rounds.")
    lr_decay_rounds: int = Field(100, ge=1, le=10**9, description="Rounds in which lr falls by lr_decay.")
    l2: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Weight of half the squared norm of the parameters in the training loss; 0 with model quadratic.",
    )
    local_optimizer: Literal["sgd", "momentum", "adam"] = Field(
        "sgd", description="How a worker steps; it starts afresh in each round."
    )
    local_momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of the local optimizer momentum.")
    mu: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Weight of half the squared distance from the shared copy in the training loss (FedProx).",
    )
    logit_adjustment: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of the log of the worker's share of each class, which is added to the "
        "logits while it trains; 1 keeps workers with different classes from pulling "
        "the model apart, 0 = none; the quadratic model does not read it.",
    )
    local_epochs: int = Field(
        1, ge=0, le=10**6, description="Passes over a worker's data in a round; 0 only with local_steps > 0."
    )
    local_steps: int = Field(
        0, ge=0, le=10**6, description="Minibatches in a round, in place of local_epochs; 0 = go by local_epochs."
    )
    server_optimizer: Literal["sgd", "momentum", "adam"] = Field(
        "sgd", description="How the master steps along the aggregate; adam not with memory residual."
    )
    server_lr: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Step of the server optimizer; 1 with sgd = federated averaging; with update "
        "gradient the step is server_lr * lr.",
    )
    server_momentum: float = Field(0.7, ge=0, lt=1, description="Momentum of the server optimizer momentum.")
    server_beta_1: float = Field(0.9, ge=0, lt=1, description="Decay of adam's mean, on the master.")
    server_beta_2: float = Field(0.999, ge=0, lt=1, description="Decay of adam's mean of squares, on the master.")
    server_epsilon: float = Field(1e-7, ge=1e-30, le=1, description="Adam's epsilon, on the master.")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of an exponential average of the global model, which is evaluated beside "
        "it and saved as the result; 0 = none.",
    )
    dim: int = Field(
        1000, ge=4, le=10**9, description="Number of parameters of model quadratic; the other models do not read it."
    )

    @field_validator("local_steps")
    @classmethod
    def _a_round_trains(cls, value: int, info: ValidationInfo) -> int:
        if value == 0 and info.data.get("local_epochs") == 0:
            raise ValueError("> 0 when local_epochs is 0")
        return value


class FlqAlgorithm(Section):
    """How an update becomes bytes."""

    mode: Literal["lowrank", "bbit", "bin", "laq8", "laq", "fedavg"] = Field(
        "lowrank",
        description="How updates are coded: big tensors as sums of outer products, in bytes_up bytes; b_up "
        "bits on a grid; sign and mean magnitude; 8 bits by stochastic rounding with one scale; "
        "LAQ as it was published, the sum of the workers' stored gradients, each b_up bits off "
        "the last; or exact float32.",
    )
    update: Literal["delta", "gradient"] = Field(
        "delta",
        description="What a worker sends of: the change that local training made, or the gradient of one minibatch.",
    )
    b_up: Optional[Literal[1, 2, 3, 4, 5, 6, 7, 8, 32]] = Field(
        None,
        description="Bits per parameter from worker to master in modes bbit and laq, null = 4; with bbit 1 = "
        "mode bin; 32 = float32, with laq only (LAG); null with mode lowrank.",
    )
    b_down: Optional[Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 32]] = Field(
        None,
        description="Bits per parameter from master to worker; 0 or 32 = float32, null = as many as upwards, "
        "and float32 with mode laq. With memory residual, 2 bits both ways can diverge: then take 3 "
        "or more here.",
    )
    bytes_up: Optional[int] = Field(
        None,
        ge=1,
        le=10**9,
        description="Longest payload in bytes from worker to master, in mode lowrank; null or "
        "auto = by the model, and longer when the shared copy falls behind.",
    )
    bytes_down: Optional[int] = Field(
        None,
        ge=1,
        le=10**9,
        description="Longest payload in bytes from master to worker, in mode lowrank; null or auto = likewise.",
    )
    coding: Literal["auto", "zlib", "none"] = Field(
        "auto",
        description="Lossless coding of payloads, where it makes them smaller: zlib, and for large ones zstd "
        "if both ends have the package zstandard; zlib alone; or none. Mode lowrank is coded "
        "already.",
    )
    memory: Optional[Literal["none", "residual", "flq", "mirror"]] = Field(
        None, description="What a worker remembers of what was not sent; null = what the mode stands for."
    )
    scale_by_selected: bool = Field(
        False,
        description="Whether the aggregate is multiplied by the number of uploads of the round / sel_ref; 0 and "
        "1 also say it; not with memory mirror.",
    )
    sel_ref: int = Field(1, ge=1, le=4096, description="What scale_by_selected divides the number of uploads by.")
    clip_global: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="Largest Euclidean norm of the aggregate, after scale_by_selected: a longer one "
        "is scaled down to it; 0 = any.",
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
    """When a worker that has little to say stays silent."""

    D: int = Field(
        10, ge=1, le=10000, description="Number of past aggregates that the energy of an update is compared with."
    )
    ck: float = Field(
        0.8,
        ge=0,
        le=1e6,
        description="Sum of the weights of those aggregates; the newest counts most, with mode laq all the same.",
    )
    C: int = Field(
        50,
        ge=0,
        le=10**9,
        description="Rounds in a row that a worker may stay silent; who was refused so often "
        "comes first, as far as the limits admit.",
    )
    warmup: int = Field(0, ge=0, le=10**9, description="Number of first rounds in which nobody stays silent.")
    thr_scale: Optional[float] = Field(
        None,
        ge=0,
        le=1e6,
        description="Factor of the threshold, 0 = never skip; null = 1 with memory mirror and 0 "
        "otherwise; modes fedavg and laq8 have no lazy rule and never skip; laq has its own.",
    )


class BudgetSelection(Section):
    """How much the workers may send in a round."""

    sel_clients: int = Field(0, ge=0, le=4096, description="Number of workers that may upload in a round; 0 = all.")
    up_budget_bits: int = Field(
        0,
        ge=0,
        le=10**15,
        description="Payload bits that may be uploaded in a round; 0 = no limit. With mode "
        "lowrank uploads get shorter, with the others fewer.",
    )
    grant_by: Literal["energy", "age", "both", "random"] = Field(
        "energy",
        description="Who comes first where not all may upload: most energy per bit, longest passed over, "
        "both multiplied, or anybody.",
    )


class JetsonOptimization(Section):
    """How a worker uses its device. A worker's command line and own file come before what the master says."""

    gpu_memory_limit_mb: Optional[int] = Field(
        None,
        ge=1,
        le=10**6,
        description="Memory in MB that TensorFlow may take on the GPU; null = 1024 on an "
        "original Jetson Nano, elsewhere as it grows.",
    )
    enable_mixed_precision: bool = Field(
        False, description="Whether a GPU computes in float16 where it can; ignored below compute capability 7.0."
    )
    prefetch_size: int = Field(
        2,
        ge=0,
        le=10000,
        description="Number of batches that are made ready in advance on a machine with a GPU; 0 = none.",
    )
    num_parallel_calls: int = Field(
        2, ge=1, le=1024, description="Number of batches that are made at a time, likewise."
    )
    cuda_cache_mb: Optional[int] = Field(
        None, ge=0, le=4096, description="Size in MB of the cache of compiled GPU code; null = CUDA's own."
    )
    telemetry_s: float = Field(
        30.0,
        ge=0,
        le=LONGEST_S,
        description="Seconds between two reports of a worker's device, its load, memory, "
        "temperature and power; 0 = none.",
    )


class Report(Section):
    """Where results go."""

    results_dir: str = Field(
        "results", min_length=1, description="Folder for the Excel files and, in a folder per run, the models."
    )
    evaluation_backlog_mb: int = Field(
        200,
        ge=1,
        le=10**6,
        description="Memory in MB of models that may wait for their evaluation; "
        "beyond it the oldest rounds are put off to the end of the run.",
    )
    figure_every: int = Field(
        10,
        ge=0,
        le=10**6,
        description="Rounds between two drawings of the figures, PNG and SVG in "
        "figures/<run> of that folder; they are drawn at the end too. 0 = no figures.",
    )
    trackers: List[Literal["jsonl", "tensorboard", "swanlab"]] = Field(
        [],
        description="Experiment trackers that are told of every round (docs/trackers.md); a text with commas in "
        "place of the list will do.",
    )

    @field_validator("trackers", mode="before")
    @classmethod
    def _names_with_commas(cls, value: Any) -> Any:
        return list(filter(None, value.replace(" ", "").split(","))) if isinstance(value, str) else value


class Notify(Section):
    """What is sent to phones; whether, and where to, is no setting but a secret (docs/notifications.md)."""

    every_rounds: int = Field(
        0, ge=0, le=10**9, description="Rounds between two messages on how the run is getting on; 0 = none."
    )
    every_minutes: float = Field(0.0, ge=0, le=10**6, description="Minutes between two such messages; 0 = none.")
    best: bool = Field(
        True,
        description="Whether a new best accuracy is told, once it is a percentage point above what was told "
        "last; where there is no accuracy, a test loss that has fallen by a tenth.",
    )
    workers: bool = Field(True, description="Whether it is told that a worker is lost, and that it is back.")
    min_interval_s: float = Field(
        10.0,
        ge=1,
        le=86400,
        description="Seconds between two messages at least; what happens meanwhile is in the next one.",
    )
    max_per_hour: int = Field(
        30, ge=1, le=3600, description="Messages in an hour at most, likewise; the end of a run is always told."
    )
    timeout_s: float = Field(
        20.0, ge=1, le=600, description="Seconds that a service may take; then the message is tried again later."
    )
    figure: bool = Field(
        True,
        description="Whether a small figure of accuracy and loss goes with the messages, where a service takes "
        "pictures.",
    )


class Security(Section):
    """Who may ask the master what without a token, and how much anybody may ask."""

    open_status: bool = Field(
        True, description="Whether GET /status, GET /healthz and what the live page shows can be read without a token."
    )
    local_operator: bool = Field(
        True, description="Whether POST /stop and GET /get_global_model need no token on the master's own machine."
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=100000,
        description="Connections that the master keeps open, as far as ulimit -n allows; 0 = 4 per "
        "worker and 256 more.",
    )
    requests_per_s: float = Field(
        500.0,
        ge=0,
        le=1e6,
        description="Requests a second that one token may make, for two seconds at once; 0 = any "
        "number, also without a token.",
    )


class Config(Section):
    """The validated settings of a run."""

    system: System = System()
    dataset: Dataset = Dataset()
    model: Model = Model()
    flq_algorithm: FlqAlgorithm = FlqAlgorithm()
    lazy_selection: LazySelection = LazySelection()
    budget_selection: BudgetSelection = BudgetSelection()
    jetson_optimization: JetsonOptimization = JetsonOptimization()
    report: Report = Report()
    notify: Notify = Notify()
    security: Security = Security()

    def settings(self) -> Dict[str, Dict[str, Any]]:
        """Return all values as ``{section: {key: value}}``, ready for JSON."""
        return self.model_dump()


SECTIONS = {name: type(field.default) for name, field in Config.model_fields.items()}


def allowed(field: FieldInfo) -> Tuple[str, str]:
    """Say what a field may be: its kind ("a whole number") and its range ("in 1..8" or "")."""
    annotation = field.annotation
    if is_optional(field):
        annotation = get_args(annotation)[0]
    if annotation is Shape:
        return "a list of 3 whole numbers above 0", ""
    if get_origin(annotation) is list:
        kind = "a list of any of " + ", ".join(get_args(get_args(annotation)[0]))
    elif get_origin(annotation) is Literal:
        kind = "one of " + ", ".join(str(value) for value in get_args(annotation))
    else:
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[annotation]
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
    """Write a bound: a whole number with all its digits."""
    return "%d" % value if value == int(value) else "%g" % value


def is_optional(field: FieldInfo) -> bool:
    """Say whether a field may be null."""
    return type(None) in get_args(field.annotation)
