"""What the two ends must agree on: the rules of a run, resolved from its settings.

The master derives them from its configuration, a worker from what it receives when it
registers, the reference from its flags: all through :func:`rules_from_settings`, so that a
default can not mean two things.
"""

from typing import Any, Mapping, NamedTuple, Optional, Sequence

from ..errors import ConfigError
from .quantize import FLOAT32, LAQ8

MODES = ("fedavg", "laq8", "bbit", "bin")
UPDATES = ("delta", "gradient")
MEMORIES = ("none", "residual", "flq", "mirror")
SERVER_OPTIMIZERS = ("sgd", "momentum", "adam")


class ServerStep(NamedTuple):
    """How the master steps along the aggregate; see server_optimizer.py.

    Attributes
    ----------
    optimizer : str
        One of ``SERVER_OPTIMIZERS``.
    lr : float
        Factor of the step.
    momentum, beta_1, beta_2, epsilon : float
        Of momentum, and of adam.
    ema : float
        Decay of the exponential average of the model; 0 = there is none.
    """

    optimizer: str = "sgd"
    lr: float = 1.0
    momentum: float = 0.7
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
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
    step : ServerStep
    lr_by_round : mapping or None
        With update gradient the step of round k is multiplied by ``learning_rate(lr_by_round, k)``.
    scale_by_selected : bool
        Whether the aggregate is multiplied by the round's number of uploads / ``sel_ref``.
    sel_ref : int
        That reference; without effect where ``scale_by_selected`` is off.
    clip_global : float
        Largest Euclidean norm of the aggregate; 0 = any.
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
    step: ServerStep = ServerStep()
    lr_by_round: Optional[Mapping[str, Any]] = None
    scale_by_selected: bool = False
    sel_ref: int = 1
    clip_global: float = 0.0

    @property
    def needs_offers(self) -> bool:
        """Whether a round has two phases: offers first, uploads only when granted."""
        return self.sel_clients > 0 or self.up_budget_bits > 0

    @property
    def has_mirrors(self) -> bool:
        """Whether both ends hold a mirror of each worker."""
        return self.memory in ("flq", "mirror")


def rules_from_settings(settings: Mapping[str, Mapping[str, Any]]) -> Rules:
    """Resolve the sections ``flq_algorithm``, ``lazy_selection``, ``budget_selection``, ``model``.

    ``b_down`` null follows the uplink. ``memory`` null is the mode's own: none for fedavg and
    laq8; otherwise residual for update delta and flq for update gradient. ``thr_scale`` null is 1
    with memory mirror and 0 otherwise (with a residual the energy never falls, so that next to
    nothing would be skipped). ``b_up`` 1 in mode ``bbit`` is mode ``bin``.

    Raises
    ------
    ConfigError
        If the combination can not work.
    """
    algorithm, lazy, model = settings["flq_algorithm"], settings["lazy_selection"], settings["model"]
    mode = _one_of("mode", algorithm["mode"], MODES, "flq_algorithm")
    update = _one_of("update", algorithm["update"], UPDATES, "flq_algorithm")
    optimizer = _one_of("server_optimizer", model["server_optimizer"], SERVER_OPTIMIZERS, "model")
    bits = {"fedavg": FLOAT32, "laq8": 8, "bin": 1}.get(mode, algorithm["b_up"])
    if mode == "bbit" and bits == 1:
        mode = "bin"
    if mode == "bbit" and bits not in range(1, 9):
        raise ConfigError("b_up must be in 1..8, got %r" % (bits,), "mode fedavg sends float32")
    codec_down = bits if algorithm["b_down"] is None else algorithm["b_down"] or FLOAT32
    if codec_down not in range(1, 9) and codec_down != FLOAT32:
        raise ConfigError("b_down must be in 1..8, or 0 or 32 for float32, got %r" % (codec_down,),
                          "see flq_algorithm.b_down")
    memory = _memory(mode, update, bits, algorithm["memory"])

    if optimizer == "adam" and memory == "residual":
        raise ConfigError("server_optimizer adam can not be used with memory residual, whose sums of old updates it "
                          "would divide by the size of new ones",
                          "set model.server_optimizer to momentum or sgd, or flq_algorithm.memory to mirror")
    scale_by_selected = bool(algorithm["scale_by_selected"])
    if scale_by_selected and memory == "mirror":
        raise ConfigError("scale_by_selected can not be used with memory mirror, whose aggregate holds the mirrors of "
                          "silent workers too", "set flq_algorithm.scale_by_selected to false")
    if update == "gradient" and (model["mu"] or model["local_optimizer"] != "sgd"):
        raise ConfigError("update gradient takes no local steps: mu must be 0 and local_optimizer sgd, got %r and %r"
                          % (model["mu"], model["local_optimizer"]), "see model.mu and model.local_optimizer")
    thr_scale = lazy["thr_scale"]
    if thr_scale is None:
        thr_scale = 1.0 if memory == "mirror" else 0.0
    if mode in ("fedavg", "laq8"):
        thr_scale = 0.0  # the lazy rule is not defined for them
    step = ServerStep(optimizer, model["server_lr"], model["server_momentum"], model["server_beta_1"],
                      model["server_beta_2"], model["server_epsilon"], model["ema"])
    return Rules(mode=mode, codec_up=LAQ8 if mode == "laq8" else bits, codec_down=codec_down, memory=memory,
                 update=update, depth=lazy["D"], ck=lazy["ck"], max_silence=lazy["C"], warmup=lazy["warmup"],
                 thr_scale=thr_scale, sel_clients=settings["budget_selection"]["sel_clients"],
                 up_budget_bits=settings["budget_selection"]["up_budget_bits"], step=step,
                 lr_by_round=model if update == "gradient" else None, scale_by_selected=scale_by_selected,
                 sel_ref=algorithm["sel_ref"], clip_global=algorithm["clip_global"])


def _one_of(key: str, value: Any, allowed: Sequence[str], section: str) -> str:
    if value not in allowed:
        raise ConfigError("%s must be one of %s, got %r" % (key, ", ".join(allowed), value),
                          "see %s.%s" % (section, key))
    return value


def _memory(mode: str, update: str, bits: int, asked: Optional[str]) -> str:
    """Return the memory: the one that is asked for, or the mode's own."""
    own = "none" if mode in ("fedavg", "laq8") else "flq" if update == "gradient" else "residual"
    memory = _one_of("memory", asked or own, MEMORIES, "flq_algorithm")
    if mode == "fedavg" and memory != "none":
        raise ConfigError("mode fedavg sends exact float32 updates and has nothing to remember: "
                          "memory must be none, got %r" % memory, "leave flq_algorithm.memory null")
    if memory == "flq" and bits == 2:
        raise ConfigError("memory flq diverges at 2 bits: what it can not say comes back larger",
                          "set flq_algorithm.memory to residual or mirror, or b_up to another number of bits")
    return memory
