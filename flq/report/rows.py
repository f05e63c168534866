"""Rows of rounds and workers, and the headings of their columns.

Up is from worker to master. Payload bits count codes and scales, frame bytes count whole messages, wire bytes count
requests and responses with their headers; the three are never mixed.

Example
-------
>>> COLUMNS["wire_bytes_up"].title
'wire up (bytes)'
"""

from typing import Any, NamedTuple, Optional, Sequence


class RoundRow(NamedTuple):
    """One closed round.

    Attributes
    ----------
    accuracy, test_loss : float or None
        Of the master's model on the test set; None = not evaluated.
    shared_accuracy : float or None
        Of the copy that all workers share.
    average_accuracy : float or None
        Test accuracy of the exponential average of the models; None = no average.
    own_accuracy, own_loss : float or None
        Of the shared copy at the start of the round: mean over the workers' held-out data; None = no held-out data.
    training_loss : float or None
        Mean over the workers that answered; None = no worker answered.
    uploaded, skipped, refused, late, lost : int
        The roll call: each worker of the round is counted once.
    training_s : float
        The longest local training of a worker.
    waiting_s : float
        The longest time that a worker waited for responses or for other workers.
    energy_so_far_j : float or None
        Energy of all boards that report it, since the start of the run; None = no sensor.
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
        "present": its lease was valid when the row was written; "lost": its lease had ended; "never joined": the master
        received requests from it, but it did not join.
    rounds : int
        Rounds that it answered: uploaded, skipped or refused.
    last_loss : float or None
        The last training loss that it reported.
    energy_j : float or None
        Energy of the whole board, from its first report in this run to its last; None = no sensor. The next three
        fields are this energy per answered round, per 1,000 samples trained on, and per percentage point of the run's
        last accuracy.
    peak_c : float or None
        Peak temperature of its board.
    name : str or None
        Given by its owner.
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
    """A column: its heading with the unit, the kind of its values, and their meaning."""

    title: str
    kind: str  # index, count, share (1 = 100 %), loss, seconds, amount or text
    meaning: str


# In the order of the columns in a sheet.
COLUMNS = {
    "round_index": Column("round", "index", "Round index; the first is 1."),
    "accuracy": Column(
        "test accuracy (%)",
        "share",
        "Accuracy of the master's model on the test set after the round. Empty: not evaluated.",
    ),
    "test_loss": Column("test loss", "loss", "Mean loss of the master's model on the test set."),
    "shared_accuracy": Column(
        "test accuracy of the shared copy (%)",
        "share",
        "Accuracy of the shared copy, which lacks the differences not yet sent.",
    ),
    "average_accuracy": Column(
        "test accuracy of the average (%)",
        "share",
        "Accuracy of the averaged model, which is the run's result if enabled.",
    ),
    "own_accuracy": Column(
        "accuracy on workers' own data (%)",
        "share",
        (
            "Accuracy of the shared copy at the start of the round on the workers' held-out samples: mean "
            "weighted by samples."
        ),
    ),
    "own_loss": Column("loss on workers' own data", "loss", "Mean loss of that copy on the same data."),
    "training_loss": Column(
        "training loss", "loss", "Loss of local training: mean weighted by samples over the workers that answered."
    ),
    "worker_id": Column("worker", "index", "The worker's id."),
    "name": Column("name", "text", "The worker's name, given by its owner."),
    "n_samples": Column("samples", "count", "Number of training samples."),
    "state": Column(
        "state",
        "text",
        "present: its lease was valid when this was written; lost: its lease had ended; "
        "never joined: it sent requests, but did not join.",
    ),
    "rounds": Column("rounds answered", "count", "Rounds in which it uploaded, skipped or was refused."),
    "uploaded": Column(
        "uploaded",
        "count",
        ("In a round: workers whose update was applied. Of a worker: rounds in which its update was applied."),
    ),
    "skipped": Column("skipped", "count", "Skipped the upload explicitly."),
    "refused": Column("refused", "count", "Offered an update that the round's budget did not admit."),
    "late": Column("late", "count", "Had not answered when the round closed at its deadline."),
    "lost": Column("lost", "count", "Was silent until its lease ended."),
    "payload_bits_up": Column(
        "payload up (bits)", "count", "Scales and codes from workers to master, after lossless coding."
    ),
    "payload_bits_down": Column("payload down (bits)", "count", "The same from the master, to all workers together."),
    "frame_bytes_up": Column(
        "frames up (bytes)", "count", "Whole messages of rounds, headers and payloads, from workers."
    ),
    "frame_bytes_down": Column("frames down (bytes)", "count", "The same from the master."),
    "wire_bytes_up": Column(
        "wire up (bytes)",
        "count",
        "Bytes from workers at the master's sockets: frames, HTTP headers, polls, retries, heartbeats.",
    ),
    "wire_bytes_down": Column("wire down (bytes)", "count", "Bytes to workers at the master's sockets."),
    "retransmitted_bytes": Column(
        "sent again (bytes)",
        "count",
        "Frames retransmitted because a reply was lost or late; counted here, not as frames.",
    ),
    "training_s": Column("training (s)", "seconds", "Local training. In a round: the longest. Of a worker: the sum."),
    "waiting_s": Column(
        "waiting (s)", "seconds", "Waiting for answers and for others. In a round: the longest. Of a worker: the sum."
    ),
    "round_s": Column("round (s)", "seconds", "From the round's opening to its close."),
    "last_loss": Column("last training loss", "loss", "The training loss that the worker reported last."),
    "energy_so_far_j": Column(
        "energy so far (J)",
        "amount",
        "Energy of all boards with a sensor, since the start of the run. Empty: no sensor.",
    ),
    "energy_j": Column(
        "energy (J)",
        "amount",
        "Energy of the whole board, from its first report in this run to its last. Empty: no sensor.",
    ),
    "energy_per_round_j": Column("energy per round (J)", "amount", "This energy per answered round."),
    "energy_per_1000_samples_j": Column(
        "energy per 1,000 samples (J)", "amount", "This energy per 1,000 samples trained on."
    ),
    "energy_per_point_j": Column(
        "energy per percentage point of test accuracy (J)",
        "amount",
        "This energy per percentage point of the run's last accuracy.",
    ),
    "peak_c": Column("highest temperature (°C)", "amount", "Peak temperature of its board."),
}

# Fields that can be summed over workers.
SUMMED = frozenset(
    {
        "n_samples",
        "rounds",
        "uploaded",
        "skipped",
        "refused",
        "late",
        "lost",
        "payload_bits_up",
        "frame_bytes_up",
        "frame_bytes_down",
        "wire_bytes_up",
        "wire_bytes_down",
        "retransmitted_bytes",
        "training_s",
        "waiting_s",
        "energy_j",
    }
)


class Sum(NamedTuple):
    """A number of the summary that is a sum of other cells.

    Attributes
    ----------
    value : int or float
        The counted number.
    rounds, workers : str or None
        The field to sum over the rounds, and over the workers.
    lines : sequence of str
        The labels of summary lines to add.
    """

    value: Any
    rounds: Optional[str] = None
    workers: Optional[str] = None
    lines: Sequence[str] = ()


TOTAL_WIRE = "total wire, both ways (bytes)"
TOTAL_PAYLOAD_UP, TOTAL_PAYLOAD_DOWN = "total payload up (bits)", "total payload down (bits)"

# Running totals in the sheet Rounds: heading, and the fields to sum.
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
