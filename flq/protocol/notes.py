"""The notes of the master's machine: each is one sentence for the operator's log."""

from .events import BACK, BLOCKED, CONTESTED, DATA, GONE, HEAVY, JOINED, NONFINITE, RESYNC, UNABLE, UNCHANGED, Note
from .messages import Answer

NO_UPDATE = {
    UNABLE: "cannot train in round %d: its device has too little memory; its log says what helps",
    NONFINITE: "has nothing to send in round %d: its update was not finite; lower model.lr",
}


def joined(worker_id: int, n_samples: int, epoch: int, resumes: bool, is_ahead: bool, data: str = "") -> Note:
    """Say that a worker takes part, with a new epoch or the one that it resumes; ``data`` says what is its own."""
    text = "worker %d %s with %d samples (epoch %d)%s%s" % (
        worker_id,
        "is back" if resumes else "joined",
        n_samples,
        epoch,
        data,
        "; it was ahead of the journal, whose end is lost" if is_ahead else "",
    )
    return Note(text, BACK if resumes else JOINED, worker_id)


def contested(worker_id: int) -> Note:
    """Say that two processes use a worker's identity."""
    return Note(
        "two processes answer as worker %d; only one is heard: stop the other. If you did not start it, "
        "its token or state folder was copied (docs/security.md)" % worker_id,
        CONTESTED,
        worker_id,
    )


def lost(worker_id: int, silent_s: float) -> Note:
    """Say that a worker's lease has ended."""
    return Note("worker %d is lost: silent for %.0f s" % (worker_id, silent_s), GONE, worker_id)


def resync(worker_id: int, epoch: int) -> Note:
    """Say that a worker starts over because its mirror differs from the master's."""
    text = "the mirrors of worker %d differ: it starts over (epoch %d)" % (worker_id, epoch)
    return Note(text, RESYNC, worker_id)


def no_update(kind: str, worker_id: int, round_index: int) -> Note:
    """Say why a worker has no update: UNABLE or NONFINITE."""
    return Note("worker %d %s" % (worker_id, NO_UPDATE[kind] % round_index), kind, worker_id)


def blocked(answer: Answer) -> Note:
    """Say that something between a worker and the master has rejected the worker's update."""
    fix = (
        "raise the limit for request bodies there (nginx: client_max_body_size)"
        if answer.blocked == 413
        else "have it let the requests of workers pass"
    )
    return Note(
        "the update of worker %d in round %d did not arrive: something between it and the master answered %d; %s, "
        "or let the worker connect directly" % (answer.worker_id, answer.round_index, answer.blocked, fix),
        BLOCKED,
        answer.worker_id,
    )


def heavy(worker_id: int, n_samples: int, n_total: int, n_members: int) -> Note:
    """Say that a worker has most of the weight."""
    return Note(
        "worker %d holds %.0f %% of the weight of %d workers: with %d samples it decides "
        "what the model becomes" % (worker_id, 100 * (n_samples / n_total), n_members, n_samples),
        HEAVY,
        worker_id,
    )


def other_data(masters: str, workers: str) -> Note:
    """Say that the master evaluates on other data than the workers have."""
    return Note(
        "the master has other data than the workers: %s; the workers have %s: the test results are not those of "
        "the workers' data; copy the same files to the master" % (masters, workers),
        DATA,
    )


def unchanged(round_index: int, problem: str) -> Note:
    """Say that a round has left the model unchanged."""
    return Note(
        "round %d leaves the model unchanged: %s; lower model.lr or model.server_lr" % (round_index, problem), UNCHANGED
    )
