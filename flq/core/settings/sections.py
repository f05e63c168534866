"""The settings of a run as one tree; names and defaults are those of a configuration.

The master makes it from its configuration (flq/config.py gives the meaning and range of each key), a worker from the
JSON that it receives when it registers, and flq_fed_v3.py from its flags.

Example
-------
>>> settings = Settings(model=ModelSettings(lr=0.05))
>>> settings.model.lr, settings.system.seed
(0.05, 42)
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple


class SystemSettings(NamedTuple):
    """Numbers of workers and rounds, time limits, reproducibility."""

    total_workers: int = 4
    min_workers: Optional[int] = None
    max_rounds: int = 30
    round_deadline_s: float = 0.0
    offer_deadline_s: float = 0.0
    lease_s: float = 300.0
    max_samples: int = 10**7
    linger_s: float = 30.0
    give_up_s: float = 3600.0
    snapshot_every: int = 10
    snapshots_kept: int = 2
    seed: int = 42
    master_url: Optional[str] = None
    deterministic: bool = True
    threads: int = 1

    @property
    def quorum(self) -> int:
        """``min_workers``, or all workers where it is None."""
        return self.total_workers if self.min_workers is None else self.min_workers


class DatasetSettings(NamedTuple):
    """The data set and its partition among the workers."""

    name: str = "digits"
    batch_size: int = 32
    partition: str = "iid"
    dir_alpha: float = 0.5
    shards_per_worker: int = 2
    input_shape: Optional[Tuple[int, ...]] = None
    n_classes: Optional[int] = None
    test_fraction: float = 0.1
    data_dir: Optional[str] = None
    scale: Optional[float] = None
    channels: Optional[int] = None
    channels_first: bool = False
    label_column: Optional[str] = None


class ModelSettings(NamedTuple):
    """The model and its optimizers on worker and master."""

    name: str = "mlp"
    lr: float = 0.1
    lr_schedule: str = "constant"
    lr_decay: float = 0.1
    lr_decay_rounds: int = 100
    l2: float = 0.0
    local_optimizer: str = "sgd"
    local_momentum: float = 0.9
    mu: float = 0.0
    logit_adjustment: float = 0.0
    local_epochs: int = 1
    local_steps: int = 0
    server_optimizer: str = "sgd"
    server_lr: float = 1.0
    server_momentum: float = 0.7
    server_beta_1: float = 0.9
    server_beta_2: float = 0.999
    server_epsilon: float = 1e-7
    server_options: Dict[str, Any] = {}
    ema: float = 0.0
    dim: int = 1000

    @property
    def has_data(self) -> bool:
        """Whether it trains on a data set; quadratic generates its problem."""
        return self.name != "quadratic"


class FlqAlgorithmSettings(NamedTuple):
    """Compression of updates."""

    mode: str = "lowrank"
    update: str = "delta"
    b_up: Optional[int] = None
    b_down: Optional[int] = None
    bytes_up: Optional[int] = None
    bytes_down: Optional[int] = None
    coding: str = "auto"
    memory: Optional[str] = None
    aggregator: str = "auto"
    aggregator_options: Dict[str, Any] = {}
    scale_by_selected: bool = False
    sel_ref: int = 1
    clip_global: float = 0.0


class LazySelectionSettings(NamedTuple):
    """When a worker skips a round."""

    D: int = 10
    ck: float = 0.8
    C: int = 50
    warmup: int = 0
    thr_scale: Optional[float] = None


class BudgetSelectionSettings(NamedTuple):
    """Limits on the uploads of a round."""

    sel_clients: int = 0
    up_budget_bits: int = 0
    grant_by: str = "energy"


class JetsonOptimizationSettings(NamedTuple):
    """How a worker uses its device; the worker's command line and own file take precedence over the master."""

    gpu_memory_limit_mb: Optional[int] = None
    enable_mixed_precision: bool = False
    prefetch_size: int = 2
    num_parallel_calls: int = 2
    cuda_cache_mb: Optional[int] = None
    telemetry_s: float = 30.0


class ReportSettings(NamedTuple):
    """Results: folder, evaluation, figures, trackers."""

    results_dir: str = "results"
    evaluation_backlog_mb: int = 200
    figure_every: int = 10
    trackers: Tuple[str, ...] = ()


class NotifySettings(NamedTuple):
    """Which notifications are sent; their addresses are secrets, not settings (docs/notifications.md)."""

    every_rounds: int = 0
    every_minutes: float = 0.0
    best: bool = True
    workers: bool = True
    min_interval_s: float = 10.0
    max_per_hour: int = 30
    timeout_s: float = 20.0
    figure: bool = True


class SecuritySettings(NamedTuple):
    """Access without a token, and limits on connections and requests."""

    open_status: bool = True
    local_operator: bool = True
    max_connections: int = 0
    requests_per_s: float = 500.0


class Settings(NamedTuple):
    """All settings of a run."""

    system: SystemSettings = SystemSettings()
    dataset: DatasetSettings = DatasetSettings()
    model: ModelSettings = ModelSettings()
    flq_algorithm: FlqAlgorithmSettings = FlqAlgorithmSettings()
    lazy_selection: LazySelectionSettings = LazySelectionSettings()
    budget_selection: BudgetSelectionSettings = BudgetSelectionSettings()
    jetson_optimization: JetsonOptimizationSettings = JetsonOptimizationSettings()
    report: ReportSettings = ReportSettings()
    notify: NotifySettings = NotifySettings()
    security: SecuritySettings = SecuritySettings()
