"""The rules of a run, resolved from its settings: both ends must agree on them.

The master derives them from its configuration, a worker from the settings that it receives when it
registers, the reference from its flags: all through :func:`rules_from_settings`, so that a
default has one meaning.
"""

from typing import Any, Collection, NamedTuple, Optional

from ...errors import ConfigError
from ..codecs import FLOAT32, MODES, QUANTIZERS, lossless
from ..strategies import AGGREGATORS, SERVER_OPTIMIZERS, options_of
from .sections import ModelSettings, Settings

UPDATES = ("delta", "gradient")
MEMORIES = ("none", "residual", "flq", "mirror")
GRANT_ORDERS = ("energy", "age", "both", "random")
OWN_KEYS = ("momentum", "adam")  # server optimizers whose options have keys of their own instead of server_options


class ServerStep(NamedTuple):
    """How the master steps along the aggregate.

    Attributes
    ----------
    optimizer : str
        A key of ``strategies.SERVER_OPTIMIZERS``.
    lr : float
        Factor of the step.
    options : NamedTuple
        The optimizer's options.
    ema : float
        Decay of the exponential average of the model; 0 = there is none.
    """

    optimizer: str = "sgd"
    lr: float = 1.0
    options: Any = SERVER_OPTIMIZERS["sgd"].options
    ema: float = 0.0


class Rules(NamedTuple):
    """The resolved rules of a run.

    Attributes
    ----------
    mode, update : str
        A key of ``codecs.MODES``; one of ``UPDATES``.
    codec_up, codec_down : int
        Codec of an upload and of a delta frame: a key of ``codecs.QUANTIZERS``.
    memory : str
        One of ``MEMORIES``: how a worker keeps its quantization error.
    depth, ck : int, float
        Lazy rule: how many past aggregates count, and their total weight (D, ck).
    max_silence : int
        Lazy rule and grants: most consecutive rounds without an upload (C).
    warmup : int
        Workers never skip up to this round.
    thr_scale : float
        Factor of the lazy threshold; 0 = never skip.
    sel_clients, up_budget_bits : int
        Most uploads, and most payload bits, in a round; 0 = no limit.
    grant_by : str
        Which workers come first if not all may upload: one of ``GRANT_ORDERS``.
    aggregator, aggregator_options : str, NamedTuple
        How uploads become one vector: a key of ``strategies.AGGREGATORS``, and the aggregator's options.
    step : ServerStep
    lr_by_round : ModelSettings or None
        With update gradient the step of round k is multiplied by ``learning_rate(lr_by_round, k)``.
    scale_by_selected : bool
        Whether the aggregate is multiplied by the round's number of uploads / ``sel_ref``.
    sel_ref : int
        That reference; without effect if ``scale_by_selected`` is off.
    clip_global : float
        Largest Euclidean norm of the aggregate; 0 = any.
    bytes_up, bytes_down : int
        Mode lowrank: the longest payloads, in bytes; 0 = see lowrank_budget.py.
    coding : str
        Lossless coding of the other payloads: one of ``lossless.SETTINGS``.
    """

    mode: str
    codec_up: int
    codec_down: int
    memory: str
    update: str = "delta"
    depth: int = 10
    ck: float = 0.8
    max_silence: int = 50
    warmup: int = 0
    thr_scale: float = 0.0
    sel_clients: int = 0
    up_budget_bits: int = 0
    grant_by: str = "energy"
    aggregator: str = "mean"
    aggregator_options: Any = AGGREGATORS["mean"].options
    step: ServerStep = ServerStep()
    lr_by_round: Optional[ModelSettings] = None
    scale_by_selected: bool = False
    sel_ref: int = 1
    clip_global: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    coding: str = "none"

    @property
    def needs_offers(self) -> bool:
        """Whether a round has two phases: offers first, uploads only when granted.

        Mode lowrank divides a budget instead: uploads get shorter, and all are granted.
        """
        return self.sel_clients > 0 or (self.up_budget_bits > 0 and self.mode != "lowrank")

    @property
    def has_mirrors(self) -> bool:
        """Whether both ends hold a mirror of each worker."""
        return self.memory in ("flq", "mirror")

    @property
    def is_laq(self) -> bool:
        """Whether the objective is a sum over workers, and LAQ's own lazy rule holds."""
        return self.mode == "laq"


def rules_from_settings(settings: Settings) -> Rules:
    """Resolve the sections ``flq_algorithm``, ``lazy_selection``, ``budget_selection``, ``model``.

    The mode's row in ``codecs.MODES`` has the values for settings that are null, or ``aggregator`` auto: the bits
    up and down and the memory; with update gradient memory flq comes before residual.
    ``thr_scale`` null is 1 with memory mirror and 0 otherwise (with a residual the
    energy never falls, so that almost nothing would be skipped). ``b_up`` 1 in mode ``bbit`` is
    mode ``bin``. Mode laq with ``b_up`` 32 is LAG, with ``thr_scale`` 0 QGD, and with both GD.

    Raises
    ------
    ConfigError
        If the settings contradict each other.
    """
    algorithm, model = settings.flq_algorithm, settings.model
    lazy, budget = settings.lazy_selection, settings.budget_selection
    name = _one_of("mode", algorithm.mode, MODES, "flq_algorithm")
    update = _one_of("update", algorithm.update, UPDATES, "flq_algorithm")
    optimizer = _one_of("server_optimizer", model.server_optimizer, SERVER_OPTIMIZERS, "model")
    aggregator = _one_of("aggregator", algorithm.aggregator, ("auto",) + tuple(AGGREGATORS), "flq_algorithm")
    mode, codec_up = MODES[name], _codec_up(name, algorithm.b_up)
    if name == "bbit" and codec_up == MODES["bin"].codecs[None].codec_id:
        name = "bin"
    aggregator = mode.aggregator if aggregator == "auto" else aggregator
    if name == "laq":
        _check_laq(update, optimizer, aggregator)
    memory = _memory(name, update, codec_up, algorithm.memory)
    for key, strategy, rows in (
        ("model.server_optimizer", optimizer, SERVER_OPTIMIZERS),
        ("flq_algorithm.aggregator", aggregator, AGGREGATORS),
    ):
        if memory in rows[strategy].refuses:
            others = ", ".join(other for other in rows if memory not in rows[other].refuses)
            raise ConfigError(
                "%s %s cannot be used with memory %s, %s"
                % (key.split(".")[1], strategy, memory, rows[strategy].refuses[memory]),
                "set %s to any of %s, or flq_algorithm.memory to another" % (key, others),
            )
    scale_by_selected = bool(algorithm.scale_by_selected)
    if scale_by_selected and memory == "mirror":
        raise ConfigError(
            "scale_by_selected cannot be used with memory mirror, whose aggregate holds the mirrors of "
            "silent workers too",
            "set flq_algorithm.scale_by_selected to false",
        )
    if update == "gradient" and (model.mu or model.local_optimizer != "sgd"):
        raise ConfigError(
            "update gradient takes no local steps: mu must be 0 and local_optimizer sgd, got %r and %r"
            % (model.mu, model.local_optimizer),
            "see model.mu and model.local_optimizer",
        )
    thr_scale = lazy.thr_scale
    if thr_scale is None:
        thr_scale = 1.0 if memory == "mirror" else 0.0
    if not mode.is_lazy:
        thr_scale = 0.0
    return Rules(
        mode=name,
        codec_up=codec_up,
        codec_down=_codec_down(name, codec_up, algorithm.b_down),
        memory=memory,
        update=update,
        depth=lazy.D,
        ck=lazy.ck,
        max_silence=lazy.C,
        warmup=lazy.warmup,
        thr_scale=thr_scale,
        sel_clients=budget.sel_clients,
        up_budget_bits=budget.up_budget_bits,
        grant_by=_one_of("grant_by", budget.grant_by, GRANT_ORDERS, "budget_selection"),
        aggregator=aggregator,
        aggregator_options=options_of(aggregator, AGGREGATORS[aggregator], algorithm.aggregator_options),
        step=ServerStep(optimizer, model.server_lr, _server_options(optimizer, model), model.ema),
        lr_by_round=model if update == "gradient" else None,
        scale_by_selected=scale_by_selected,
        sel_ref=algorithm.sel_ref,
        clip_global=algorithm.clip_global,
        bytes_up=algorithm.bytes_up or 0,
        bytes_down=algorithm.bytes_down or 0,
        coding=_one_of("coding", algorithm.coding, lossless.SETTINGS, "flq_algorithm"),
    )


def _one_of(key: str, value: Any, allowed: Collection[str], section: str) -> str:
    if value not in allowed:
        raise ConfigError(
            "%s must be one of %s, got %r" % (key, ", ".join(allowed), value), "see %s.%s" % (section, key)
        )
    return value


def _codec_up(mode: str, bits: Optional[int]) -> int:
    """Return the codec of an upload."""
    codecs = MODES[mode].codecs
    if mode == "lowrank" and bits is not None:
        raise ConfigError(
            "mode lowrank has bytes_up and no bits per parameter: b_up must be null, got %r" % bits,
            "set flq_algorithm.mode to bbit, or flq_algorithm.b_up to null",
        )
    if len(codecs) == 1:
        return codecs[None].codec_id
    if bits not in codecs:
        known = sorted(known for known in codecs if known is not None and known <= 8)
        words = "%d..%d%s" % (known[0], known[-1], " or 32" if FLOAT32 in codecs else "")
        raise ConfigError(
            "b_up must be in %s in mode %s, got %r" % (words, mode, bits), "use mode fedavg to send float32"
        )
    return codecs[bits].codec_id


def _codec_down(mode: str, codec_up: int, bits: Optional[int]) -> int:
    """Return the codec of a delta frame."""
    if bits is None:
        own = MODES[mode].down
        return codec_up if own is None else own
    if bits not in range(9) and bits != FLOAT32:
        raise ConfigError(
            "b_down must be in 1..8, or 0 or 32 for float32, got %r" % (bits,), "see flq_algorithm.b_down"
        )
    return bits or FLOAT32


def _server_options(optimizer: str, model: ModelSettings) -> Any:
    """Return the server optimizer's options; those of momentum and adam have keys of their own."""
    row = SERVER_OPTIMIZERS[optimizer]
    if optimizer in OWN_KEYS:
        if model.server_options:
            keys = ", ".join("server_" + name for name in row.options._fields)
            raise ConfigError(
                "the options of %s have keys of their own: %s" % (optimizer, keys), "leave model.server_options empty"
            )
        return options_of(optimizer, row, {name: getattr(model, "server_" + name) for name in row.options._fields})
    return options_of(optimizer, row, model.server_options)


def _check_laq(update: str, optimizer: str, aggregator: str) -> None:
    """Reject settings that contradict LAQ."""
    if update != "gradient":
        raise ConfigError(
            "mode laq sends gradients: update must be gradient, got %r" % update, "set flq_algorithm.update to gradient"
        )
    if optimizer != "sgd" or aggregator != "sum":
        raise ConfigError(
            "mode laq steps along the sum of the gradients: server_optimizer must be sgd, got %r, and aggregator "
            "sum, got %r" % (optimizer, aggregator),
            "set model.server_optimizer to sgd and flq_algorithm.aggregator to auto",
        )


def _memory(mode: str, update: str, codec_up: int, asked: Optional[str]) -> str:
    """Return the memory that the settings name, or the mode's default."""
    memories, why = MODES[mode].memories, MODES[mode].why
    own = "flq" if update == "gradient" and memories[:2] == ("residual", "flq") else memories[0]
    memory = _one_of("memory", asked or own, MEMORIES, "flq_algorithm")
    if memory not in memories:
        words = " or ".join(filter(None, [", ".join(memories[:-1]), memories[-1]]))
        raise ConfigError(
            "mode %s %s: memory must be %s, got %r" % (mode, why, words, memory), "leave flq_algorithm.memory null"
        )
    if memory == "flq" and QUANTIZERS[codec_up].bits == 2:
        raise ConfigError(
            "memory flq diverges at 2 bits: its quantization error grows from round to round",
            "set flq_algorithm.memory to residual or mirror, or b_up to another number of bits",
        )
    return memory
