"""The app of a run on Flower's SuperLink: clients send ready vectors, and the server marks the end of each round.

It runs in Flower's environment, in the processes that SuperLink and SuperNodes start; ``flwr run`` bundles a copy of
this file (benchmarks.flower_superlink). In each round, every ClientApp is a new process.
"""

import json
from typing import Any, Iterable, List

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from benchmarks.peak import mark, peaks_mb, tree

client_app = ClientApp()
server_app = ServerApp()


class Noted(FedAvg):
    """Federated averaging that marks the end of each round, with the resources that both sides have used."""

    def __init__(self, n_workers: int, superlink: int, supernodes: List[int]) -> None:
        super().__init__(fraction_evaluate=0.0, min_train_nodes=n_workers, min_available_nodes=n_workers)
        self.marks: List[Any] = []
        self._superlink, self._supernodes = superlink, supernodes

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        """Average, and mark the end of the round."""
        replies = list(replies)
        n_good = sum(reply.has_content() for reply in replies)
        if n_good < self.min_train_nodes:
            raise RuntimeError("round %d has %d answers, %d of them good" % (server_round, len(replies), n_good))
        averaged = super().aggregate_train(server_round, replies)
        peaks = peaks_mb(self._superlink)
        self.marks.append(
            dict(
                mark(0, 0),
                peak_mb=sum(peaks.values()),
                peaks_mb=peaks,
                cpu_s=sum(tree(self._superlink).values()),
                workers_cpu_s=sum(s for node in self._supernodes for s in tree(node).values()),
            )
        )
        return averaged


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Receive the model; return the same update in every round."""
    message.content["arrays"].to_numpy_ndarrays()
    update = np.load(str(context.node_config["update"]))
    content = RecordDict({"arrays": ArrayRecord([update]), "metrics": MetricRecord({"num-examples": 100})})
    return Message(content=content, reply_to=message)


@server_app.main()
def serve(grid: Grid, context: Context) -> None:
    """Serve all rounds, and write the marks."""
    config = context.run_config
    supernodes = [int(pid) for pid in str(config["supernodes"]).split()]
    strategy = Noted(len(supernodes), int(config["superlink"]), supernodes)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(int(config["dim"]), np.float32)]),
        num_rounds=int(config["rounds"]),
    )
    with open(str(config["marks"]), "w", encoding="utf-8") as file:
        json.dump(strategy.marks, file)
