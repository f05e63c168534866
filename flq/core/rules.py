"""What the two ends must agree on: the rules of a run, resolved from its settings.

The master derives them from its configuration, a worker from what it receives when it
registers, the reference from its flags: all through :func:`rules_from_settings`, so that a
default can not mean two things.
"""

from typing import Any, Mapping, NamedTuple

from ..errors import ConfigError

MODES = ("fedavg", "bbit", "bin")
MEMORIES = ("none", "residual", "mirror")
FLOAT32_BITS = 32


class Rules(NamedTuple):
    """The resolved rules of a run.

    Attributes
    ----------
    mode : str
        One of ``MODES``.
    bits_up, bits_down : int
        Bits per parameter in an upload and in a delta frame: 1..8, or 32 for float32.
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
    server_lr : float
        Step of the server optimizer sgd.
    scale_by_selected : bool
        Whether the aggregate is multiplied by the round's number of uploads / ``sel_ref``.
    sel_ref : int
        That reference; without effect where ``scale_by_selected`` is off.
    clip_global : float
        Largest Euclidean norm of the aggregate; 0 = any.
    """

    mode: str
    bits_up: int
    bits_down: int
    memory: str
    depth: int = 10
    ck: float = 0.8
    max_silence: int = 50
    warmup: int = 0
    thr_scale: float = 0.0
    sel_clients: int = 0
    up_budget_bits: int = 0
    server_lr: float = 1.0
    scale_by_selected: bool = False
    sel_ref: int = 1
    clip_global: float = 0.0

    @property
    def needs_offers(self) -> bool:
        """Whether a round has two phases: offers first, uploads only when granted."""
        return self.sel_clients > 0 or self.up_budget_bits > 0


def rules_from_settings(settings: Mapping[str, Mapping[str, Any]]) -> Rules:
    """Resolve the sections ``flq_algorithm``, ``lazy_selection``, ``budget_selection``, ``model``.

    ``b_down`` null follows the uplink; ``memory`` null is the mode's own; ``thr_scale`` null is
    1 with memory mirror and 0 otherwise (with a residual the energy never falls, so that next to
    nothing would be skipped). ``b_up`` 1 in mode ``bbit`` is mode ``bin``. ``scale_by_selected``,
    ``sel_ref`` and ``clip_global`` may be missing: not scaled, not clipped.

    Raises
    ------
    ConfigError
        If the combination can not work.
    """
    algorithm, lazy = settings["flq_algorithm"], settings["lazy_selection"]
    mode = algorithm["mode"]
    if mode not in MODES:
        raise ConfigError("mode must be one of %s, got %r" % (", ".join(MODES), mode), "see flq_algorithm.mode")
    bits_up = {"fedavg": FLOAT32_BITS, "bin": 1}.get(mode, algorithm["b_up"])
    if mode == "bbit" and bits_up == 1:
        mode = "bin"
    if mode == "bbit" and bits_up not in range(1, 9):
        raise ConfigError("b_up must be in 1..8, got %r" % (bits_up,), "mode fedavg sends float32")
    bits_down = bits_up if algorithm["b_down"] is None else algorithm["b_down"] or FLOAT32_BITS
    if bits_down not in range(1, 9) and bits_down != FLOAT32_BITS:
        raise ConfigError("b_down must be in 1..8, or 0 or 32 for float32, got %r" % (bits_down,),
                          "see flq_algorithm.b_down")

    memory = algorithm["memory"] or ("none" if mode == "fedavg" else "residual")
    if memory not in MEMORIES:
        raise ConfigError("memory must be one of %s, got %r" % (", ".join(MEMORIES), memory),
                          "see flq_algorithm.memory")
    if mode == "fedavg" and memory != "none":
        raise ConfigError("mode fedavg sends exact float32 updates and has nothing to remember: "
                          "memory must be none, got %r" % memory, "leave flq_algorithm.memory null")
    scale_by_selected = bool(algorithm.get("scale_by_selected", False))
    if scale_by_selected and memory == "mirror":
        raise ConfigError("scale_by_selected can not be used with memory mirror, whose aggregate holds the mirrors of "
                          "silent workers too", "set flq_algorithm.scale_by_selected to false")
    thr_scale = lazy["thr_scale"]
    if thr_scale is None:
        thr_scale = 1.0 if memory == "mirror" else 0.0
    if mode == "fedavg":
        thr_scale = 0.0  # the lazy rule is not defined for it
    return Rules(mode=mode, bits_up=bits_up, bits_down=bits_down, memory=memory,
                 depth=lazy["D"], ck=lazy["ck"], max_silence=lazy["C"], warmup=lazy["warmup"], thr_scale=thr_scale,
                 sel_clients=settings["budget_selection"]["sel_clients"],
                 up_budget_bits=settings["budget_selection"]["up_budget_bits"],
                 server_lr=settings["model"]["server_lr"], scale_by_selected=scale_by_selected,
                 sel_ref=algorithm.get("sel_ref", 1), clip_global=algorithm.get("clip_global", 0.0))
