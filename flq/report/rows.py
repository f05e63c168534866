"""What is reported of a round and of a worker, and how each column is called.

Up is from worker to master. Payload bits are codes and scales, frame bytes the whole message,
wire bytes requests and responses with their headers; the three are never mixed.

Example
-------
>>> COLUMNS["wire_bytes_up"].title
'wire up (bytes)'
"""

from typing import NamedTuple, Optional


class RoundRow(NamedTuple):
    """One closed round.

    Attributes
    ----------
    accuracy, test_loss : float or None
        Of the master's model on the test set; None = not evaluated.
    shared_accuracy : float or None
        Of the copy that all workers share.
    average_accuracy : float or None
        Test accuracy of the exponential average of the models; None = there is no average.
    own_accuracy, own_loss : float or None
        Of the copy that the round began with: mean over the workers' own held-back data; None =
        nothing is held back.
    training_loss : float or None
        Mean over the workers that answered; None = nobody did.
    uploaded, skipped, refused, late, lost : int
        The roll-call: each worker of the round is counted once.
    training_s : float
        Longest local training of the round.
    waiting_s : float
        Longest time that a worker waited for answers or for the others.
    energy_so_far_j : float or None
        Of all boards that tell of it, since the run began; None = no sensor tells.
    """

    round_index: int
    accuracy: Optional[float]
    test_loss: Optional[float]
    shared_accuracy: Optional[float]
    training_loss: Optional[float]
    uploaded: int
    skipped: int
    refused: int
    late: int
    lost: int
    payload_bits_up: int
    payload_bits_down: int
    frame_bytes_up: int
    frame_bytes_down: int
    wire_bytes_up: int
    wire_bytes_down: int
    retransmitted_bytes: int
    training_s: float
    waiting_s: float
    round_s: float
    average_accuracy: Optional[float] = None
    own_accuracy: Optional[float] = None
    own_loss: Optional[float] = None
    energy_so_far_j: Optional[float] = None


class WorkerRow(NamedTuple):
    """One worker over the whole run; times and counts are sums over its rounds.

    Attributes
    ----------
    state : str
        "present": its lease lasted when the row was made; "lost": its lease had ended; "never
        joined": only some of its requests have come.
    rounds : int
        Rounds that it answered: uploaded, skipped or refused.
    last_loss : float or None
        Training loss that it reported last.
    energy_j : float or None
        Of the whole board, from its first report in this run to its last; None = no sensor tells. Beside it the same
        for each round that it answered, for 1,000 samples that it trained on, and for each percentage point of the
        run's last accuracy.
    peak_c : float or None
        The highest temperature of its board.
    name : str or None
        What its owner calls it.
    """

    worker_id: int
    n_samples: int
    state: str
    rounds: int
    uploaded: int
    skipped: int
    refused: int
    late: int
    lost: int
    payload_bits_up: int
    frame_bytes_up: int
    frame_bytes_down: int
    wire_bytes_up: int
    wire_bytes_down: int
    retransmitted_bytes: int
    training_s: float
    waiting_s: float
    last_loss: Optional[float]
    energy_j: Optional[float] = None
    energy_per_round_j: Optional[float] = None
    energy_per_1000_samples_j: Optional[float] = None
    energy_per_point_j: Optional[float] = None
    peak_c: Optional[float] = None
    name: Optional[str] = None


class Column(NamedTuple):
    """Heading of a column, with its unit, and what kind of value stands under it."""

    title: str
    kind: str  # index, count, share (1 = 100 %), loss, seconds, amount or text


# In the order in which they stand in a sheet.
COLUMNS = {
    "round_index": Column("round", "index"),
    "accuracy": Column("test accuracy (%)", "share"),
    "test_loss": Column("test loss", "loss"),
    "shared_accuracy": Column("test accuracy of the shared copy (%)", "share"),
    "average_accuracy": Column("test accuracy of the average (%)", "share"),
    "own_accuracy": Column("accuracy on workers' own data (%)", "share"),
    "own_loss": Column("loss on workers' own data", "loss"),
    "training_loss": Column("training loss", "loss"),
    "worker_id": Column("worker", "index"),
    "name": Column("name", "text"),
    "n_samples": Column("samples", "count"),
    "state": Column("state", "text"),
    "rounds": Column("rounds answered", "count"),
    "uploaded": Column("uploaded", "count"),
    "skipped": Column("skipped", "count"),
    "refused": Column("refused", "count"),
    "late": Column("late", "count"),
    "lost": Column("lost", "count"),
    "payload_bits_up": Column("payload up (bits)", "count"),
    "payload_bits_down": Column("payload down (bits)", "count"),
    "frame_bytes_up": Column("frames up (bytes)", "count"),
    "frame_bytes_down": Column("frames down (bytes)", "count"),
    "wire_bytes_up": Column("wire up (bytes)", "count"),
    "wire_bytes_down": Column("wire down (bytes)", "count"),
    "retransmitted_bytes": Column("sent again (bytes)", "count"),
    "training_s": Column("training (s)", "seconds"),
    "waiting_s": Column("waiting (s)", "seconds"),
    "round_s": Column("round (s)", "seconds"),
    "last_loss": Column("last training loss", "loss"),
    "energy_so_far_j": Column("energy so far (J)", "amount"),
    "energy_j": Column("energy (J)", "amount"),
    "energy_per_round_j": Column("energy per round (J)", "amount"),
    "energy_per_1000_samples_j": Column("energy per 1,000 samples (J)", "amount"),
    "energy_per_point_j": Column("energy per percentage point of test accuracy (J)", "amount"),
    "peak_c": Column("highest temperature (°C)", "amount"),
}

TOTAL_WIRE = "total wire, both ways (bytes)"
TOTAL_PAYLOAD_UP, TOTAL_PAYLOAD_DOWN = "total payload up (bits)", "total payload down (bits)"

# Running totals beside the rounds: heading, and the fields that it adds up.
TOTALS = (
    (TOTAL_PAYLOAD_UP, ("payload_bits_up",)),
    (TOTAL_PAYLOAD_DOWN, ("payload_bits_down",)),
    ("total frames up (bytes)", ("frame_bytes_up",)),
    ("total frames down (bytes)", ("frame_bytes_down",)),
    ("total wire up (bytes)", ("wire_bytes_up",)),
    ("total wire down (bytes)", ("wire_bytes_down",)),
    (TOTAL_WIRE, ("wire_bytes_up", "wire_bytes_down")),
    ("total sent again (bytes)", ("retransmitted_bytes",)),
)
