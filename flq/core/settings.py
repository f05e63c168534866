"""What the two ends must agree on: the rules of a run, resolved from its settings.

The master derives them from its configuration, a worker from what it receives when it
registers, the reference from its flags: all through :func:`rules_from_settings`, so that a
default can not mean two things.
"""

from typing import Any, Mapping, NamedTuple, Optional, Sequence

from ..errors import ConfigError
from .codecs import FLOAT32, LAQ, LAQ8, LOWRANK, lossless
from .strategies import AGGREGATORS, SERVER_OPTIMIZERS, options_of

MODES = ("fedavg", "laq8", "bbit", "bin", "lowrank", "laq")
UPDATES = ("delta", "gradient")
MEMORIES = ("none", "residual", "flq", "mirror")
GRANT_ORDERS = ("energy", "age", "both", "random")


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
        One of ``MODES``; one of ``UPDATES``.
    codec_up, codec_down : int
        Quantizer of an upload and of a delta frame: a key of ``quantize.QUANTIZERS``.
    memory : str
        One of ``MEMORIES``: what a worker remembers of what was not sent.
    depth, ck : int, float
        Lazy rule: how many past aggregates count, and their total weight (D, ck).
    max_silence : int
        Lazy rule and grants: at most so many rounds in a row without an upload (C).
    warmup : int
        Rounds up to this one never skip.
    thr_scale : float
        Factor of the lazy threshold; 0 = never skip.
    sel_clients, up_budget_bits : int
        At most so many uploads, and payload bits, in a round; 0 = no limit.
    grant_by : str
        Who comes first where not all may upload: one of ``GRANT_ORDERS``.
    aggregator, aggregator_options : str, NamedTuple
        How uploads become one vector: a key of ``strategies.AGGREGATORS``, and the aggregator's options.
    step : ServerStep
    lr_by_round : mapping or None
        With update gradient the step of round k is multiplied by ``learning_rate(lr_by_round, k)``.
    scale_by_selected : bool
        Whether the aggregate is multiplied by the round's number of uploads / ``sel_ref``.
    sel_ref : int
        That reference; without effect where ``scale_by_selected`` is off.
    clip_global : float
        Largest Euclidean norm of the aggregate; 0 = any.
    bytes_up, bytes_down : int
        Mode lowrank: the longest payloads, in bytes; 0 = see lowrank_budget.py.
    coding : str
        Lossless coding of the other payloads: one of ``coding.SETTINGS``.
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
    lr_by_round: Optional[Mapping[str, Any]] = None
    scale_by_selected: bool = False
    sel_ref: int = 1
    clip_global: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    coding: str = "none"

    @property
    def needs_offers(self) -> bool:
        """Whether a round has two phases: offers first, uploads only when granted.

        Mode lowrank divides a budget: uploads get shorter, and all are granted.
        """
        return self.sel_clients > 0 or (self.up_budget_bits > 0 and self.mode != "lowrank")

    @property
    def has_mirrors(self) -> bool:
        """Whether both ends hold a mirror of each worker."""
        return self.memory in ("flq", "mirror")

    @property
    def is_laq(self) -> bool:
        """Whether the objective is a sum over workers, and silence follows LAQ's own rule."""
        return self.mode == "laq"


def rules_from_settings(settings: Mapping[str, Mapping[str, Any]]) -> Rules:
    """Resolve the sections ``flq_algorithm``, ``lazy_selection``, ``budget_selection``, ``model``.

    ``b_down`` null follows the uplink; in mode laq it is float32. ``memory`` null is the mode's
    own: none for fedavg and laq8, mirror for laq; otherwise residual for update delta and flq for
    update gradient. ``thr_scale`` null is 1 with memory mirror and 0 otherwise (with a residual the
    energy never falls, so that next to nothing would be skipped). ``b_up`` 1 in mode ``bbit`` is
    mode ``bin``. Mode laq with ``b_up`` 32 is LAG, with ``thr_scale`` 0 QGD, and with both GD.

    Raises
    ------
    ConfigError
        If the combination can not work.
    """
    algorithm, lazy, model = settings["flq_algorithm"], settings["lazy_selection"], settings["model"]
    mode = _one_of("mode", algorithm["mode"], MODES, "flq_algorithm")
    update = _one_of("update", algorithm["update"], UPDATES, "flq_algorithm")
    optimizer = _one_of("server_optimizer", model["server_optimizer"], SERVER_OPTIMIZERS, "model")
    bits = {"fedavg": FLOAT32, "laq8": 8, "bin": 1, "lowrank": LOWRANK}.get(mode, algorithm["b_up"])
    bits = 4 if bits is None else bits
    if mode == "lowrank" and algorithm["b_up"] is not None:
        raise ConfigError(
            "mode lowrank has bytes_up and no bits per parameter: b_up must be null, got %r" % algorithm["b_up"],
            "set flq_algorithm.mode to bbit, or flq_algorithm.b_up to null",
        )
    if mode == "bbit" and bits == 1:
        mode = "bin"
    if mode == "bbit" and bits not in range(1, 9):
        raise ConfigError("b_up must be in 1..8, got %r" % (bits,), "mode fedavg sends float32")
    if mode == "laq":
        _check_laq(bits, update, optimizer)
    codec_down = algorithm["b_down"]
    if codec_down is None:
        codec_down = FLOAT32 if mode == "laq" else bits
    codec_down = codec_down or FLOAT32
    if codec_down not in range(1, 9) and codec_down not in (FLOAT32, bits):
        raise ConfigError(
            "b_down must be in 1..8, or 0 or 32 for float32, got %r" % (codec_down,), "see flq_algorithm.b_down"
        )
    memory = _memory(mode, update, bits, algorithm["memory"])

    if memory in SERVER_OPTIMIZERS[optimizer].refuses:
        raise ConfigError(
            "server_optimizer %s can not be used with memory %s, %s"
            % (optimizer, memory, SERVER_OPTIMIZERS[optimizer].refuses[memory]),
            "set model.server_optimizer to momentum or sgd, or flq_algorithm.memory to mirror",
        )
    scale_by_selected = bool(algorithm["scale_by_selected"])
    if scale_by_selected and memory == "mirror":
        raise ConfigError(
            "scale_by_selected can not be used with memory mirror, whose aggregate holds the mirrors of "
            "silent workers too",
            "set flq_algorithm.scale_by_selected to false",
        )
    if update == "gradient" and (model["mu"] or model["local_optimizer"] != "sgd"):
        raise ConfigError(
            "update gradient takes no local steps: mu must be 0 and local_optimizer sgd, got %r and %r"
            % (model["mu"], model["local_optimizer"]),
            "see model.mu and model.local_optimizer",
        )
    thr_scale = lazy["thr_scale"]
    if thr_scale is None:
        thr_scale = 1.0 if memory == "mirror" else 0.0
    if mode in ("fedavg", "laq8"):
        thr_scale = 0.0  # the lazy rule is not defined for them
    given = {name: model["server_" + name] for name in SERVER_OPTIMIZERS[optimizer].options._fields}
    options = options_of(optimizer, SERVER_OPTIMIZERS[optimizer], given)
    aggregator = "sum" if mode == "laq" else "mean"
    codec_up = {"laq8": LAQ8, "laq": bits if bits == FLOAT32 else LAQ + bits}.get(mode, bits)
    return Rules(
        mode=mode,
        codec_up=codec_up,
        codec_down=codec_down,
        memory=memory,
        update=update,
        depth=lazy["D"],
        ck=lazy["ck"],
        max_silence=lazy["C"],
        warmup=lazy["warmup"],
        thr_scale=thr_scale,
        sel_clients=settings["budget_selection"]["sel_clients"],
        up_budget_bits=settings["budget_selection"]["up_budget_bits"],
        grant_by=_one_of("grant_by", settings["budget_selection"]["grant_by"], GRANT_ORDERS, "budget_selection"),
        aggregator=aggregator,
        aggregator_options=AGGREGATORS[aggregator].options,
        step=ServerStep(optimizer, model["server_lr"], options, model["ema"]),
        lr_by_round=model if update == "gradient" else None,
        scale_by_selected=scale_by_selected,
        sel_ref=algorithm["sel_ref"],
        clip_global=algorithm["clip_global"],
        bytes_up=algorithm["bytes_up"] or 0,
        bytes_down=algorithm["bytes_down"] or 0,
        coding=_one_of("coding", algorithm["coding"], lossless.SETTINGS, "flq_algorithm"),
    )


def _one_of(key: str, value: Any, allowed: Sequence[str], section: str) -> str:
    if value not in allowed:
        raise ConfigError(
            "%s must be one of %s, got %r" % (key, ", ".join(allowed), value), "see %s.%s" % (section, key)
        )
    return value


def _check_laq(bits: int, update: str, optimizer: str) -> None:
    """Refuse what LAQ is not."""
    if bits not in range(1, 9) and bits != FLOAT32:
        raise ConfigError("b_up must be in 1..8 or 32 in mode laq, got %r" % (bits,), "see flq_algorithm.b_up")
    if update != "gradient":
        raise ConfigError(
            "mode laq sends gradients: update must be gradient, got %r" % update, "set flq_algorithm.update to gradient"
        )
    if optimizer != "sgd":
        raise ConfigError(
            "mode laq steps along the sum of the gradients: server_optimizer must be sgd, got %r" % optimizer,
            "set model.server_optimizer to sgd",
        )


def _memory(mode: str, update: str, bits: int, asked: Optional[str]) -> str:
    """Return the memory: the one that is asked for, or the mode's own."""
    own = {"fedavg": "none", "laq8": "none", "laq": "mirror", "lowrank": "residual"}.get(
        mode, "flq" if update == "gradient" else "residual"
    )
    memory = _one_of("memory", asked or own, MEMORIES, "flq_algorithm")
    if mode == "laq" and memory != "mirror":
        raise ConfigError(
            "mode laq sums up stored gradients: memory must be mirror, got %r" % memory,
            "leave flq_algorithm.memory null",
        )
    if mode == "fedavg" and memory != "none":
        raise ConfigError(
            "mode fedavg sends exact float32 updates and has nothing to remember: memory must be none, got %r" % memory,
            "leave flq_algorithm.memory null",
        )
    if memory == "flq" and mode == "lowrank":
        raise ConfigError(
            "mode lowrank says a part of an update and the rest later: memory must be residual, mirror "
            "or none, got 'flq'",
            "leave flq_algorithm.memory null",
        )
    if memory == "flq" and bits == 2:
        raise ConfigError(
            "memory flq diverges at 2 bits: what it can not say comes back larger",
            "set flq_algorithm.memory to residual or mirror, or b_up to another number of bits",
        )
    return memory
