"""Another kind of round, and two models in one run: parts that MasterMachine accepts instead of its own."""

from flq.core.statuses import UPLOADED
from flq.errors import Conflict
from flq.protocol.global_model import GlobalModel
from flq.protocol.messages import Kind, Outcome
from flq.protocol.round_machine import RoundMachine, Ruling


class BufferedRounds(RoundMachine):
    """Rounds that close after ``SIZE`` uploads of any round; no worker is late.

    FedBuff: Nguyen et al. 2022, arXiv:2106.06639.
    """

    SIZE = 2

    def judge(self, answer):
        going = self.open_round
        if going is None or answer.worker_id not in going.n_samples:
            return Ruling(Outcome.LATE)
        if answer.worker_id in going.status:
            raise Conflict("worker %d has answered already" % answer.worker_id)
        if answer.kind is Kind.SKIP:
            return super().judge(answer._replace(round_index=going.index))
        self._check_upload(answer, going)
        return Ruling(Outcome.APPLIED, UPLOADED)

    def is_complete(self):
        return len(self.open_round.uploads) >= self.SIZE or not self.open_round.undecided()

    def missing(self):
        return []


class TwoModels:
    """A model for workers with even ids and one for the others: clusters, in their simplest form."""

    def __init__(self, start, link, rules):
        self.clusters = [GlobalModel(start, link, rules) for _ in range(2)]

    def __getattr__(self, name):  # attributes that concern no worker are those of the first model
        return getattr(self.clusters[0], name)

    def of(self, worker_id):
        return self.clusters[worker_id % 2]

    def plan(self, worker_id, *rest):
        return self.of(worker_id).plan(worker_id, *rest)

    def begin_epoch(self, worker_id):
        self.of(worker_id).begin_epoch(worker_id)

    def forget(self, worker_id):
        return self.of(worker_id).forget(worker_id)

    def receive(self, answer, n_members):
        return self.of(answer.worker_id).receive(answer, n_members)

    def close_round(self, round_index, n_samples, uploads, known=None):
        steps = []
        for i, cluster in enumerate(self.clusters):
            own = [{m: value for m, value in found.items() if m % 2 == i} for found in (n_samples, uploads)]
            steps.append(cluster.close_round(round_index, *own, known if i == 0 else None))
        return steps[0]
