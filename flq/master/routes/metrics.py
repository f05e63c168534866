"""Makes the reply to GET /metrics: the status of the run in the text format of Prometheus.

Every scrape reads one snapshot, so the numbers are those of /status. The only label without a
fixed set of values is ``worker``, an id in 0..total_workers-1.
"""

from typing import Any, Callable, Dict, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ...core.statuses import STATUSES
from ...protocol.master_machine import State

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
DIRECTIONS = ("up", "down")

Status = Dict[str, Any]  # the reply to GET /status


class Metrics:
    """The metrics of one run, and those of its process.

    Parameters
    ----------
    read_status : callable() -> dict
        Returns the newest snapshot without waiting.
    """

    def __init__(self, read_status: Callable[[], Status]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(RunCollector(read_status))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return the current metrics."""
        return generate_latest(self._registry)


class RunCollector(Collector):
    """Turns a status into metrics."""

    def __init__(self, read_status: Callable[[], Status]) -> None:
        self._read_status = read_status

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; none without a status."""
        status = self._read_status()
        if status:
            yield from _of_run(status)
            yield from _of_traffic(status["totals"])
            yield from _of_workers(status["worker_status"])
            yield from _of_devices(status["worker_status"])


def _of_run(status: Status) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "flq_run",
        "The run and the hash of its configuration.",
        {"run_id": status["run_id"], "config_hash": status["config_hash"]},
    )
    state = GaugeMetricFamily(
        "flq_run_state", "1 for the state that the run is in, 0 for the others.", labels=["state"]
    )
    for each in State:
        state.add_metric([each.value], float(each.value == status["state"]))
    yield state
    yield GaugeMetricFamily("flq_round", "The newest round; 0 before the first.", status["current_round"])
    yield GaugeMetricFamily("flq_max_rounds", "Number of rounds of the run.", status["max_rounds"])
    yield GaugeMetricFamily("flq_connected_workers", "Workers whose lease lasts.", status["connected_workers"])
    yield GaugeMetricFamily("flq_run_disk_bytes", "Size of the run's folder on disk.", status["disk_bytes"])
    yield GaugeMetricFamily(
        "flq_waits_for_disk", "1 while the journal cannot be written.", float(status["problem"] is not None)
    )
    for name, key, meaning in (
        ("flq_test_accuracy_ratio", "accuracy", "Newest test accuracy, 1 = all correct."),
        ("flq_test_loss", "test_loss", "Newest test loss."),
    ):
        if status[key] is not None:
            yield GaugeMetricFamily(name, meaning, status[key])


def _of_traffic(totals: Status) -> Iterator[Metric]:
    for name, key, meaning in (
        ("flq_payload_bits", "payload_bits", "Bits of codes and scales in distinct frames."),
        ("flq_frame_bytes", "frame_bytes", "Bytes of distinct frames."),
        ("flq_wire_bytes", "wire_bytes", "Bytes of the workers' connections, including headers and repeats."),
    ):
        counter = CounterMetricFamily(name, meaning, labels=["direction"])
        for direction in DIRECTIONS:
            counter.add_metric([direction], totals["%s_%s" % (key, direction)])
        yield counter
    yield CounterMetricFamily(
        "flq_retransmitted_bytes", "Bytes of frames that were sent again.", totals["retransmitted_bytes"]
    )


def _of_workers(workers: Dict[str, Status]) -> Iterator[Metric]:
    answers = CounterMetricFamily("flq_worker_rounds", "Rounds of a worker, by outcome.", labels=["worker", "outcome"])
    connected = GaugeMetricFamily("flq_worker_connected", "1 while the worker's lease lasts.", labels=["worker"])
    loss = GaugeMetricFamily(
        "flq_worker_training_loss", "Last training loss that the worker reported.", labels=["worker"]
    )
    wire = CounterMetricFamily(
        "flq_worker_wire_bytes", "Bytes of the worker's connections.", labels=["worker", "direction"]
    )
    for worker, status in workers.items():
        for outcome in STATUSES:
            answers.add_metric([worker, outcome], status[outcome])
        connected.add_metric([worker], float(status["connected"]))
        if status["loss"] is not None:
            loss.add_metric([worker], status["loss"])
        for direction in DIRECTIONS:
            wire.add_metric([worker, direction], status["wire_bytes_%s" % direction])
    yield from (answers, connected, loss, wire)


# Name without its type's suffix, field of the device's report, meaning; a worker without the field has no line.
GAUGES = (
    ("flq_worker_power_watts", "power_w", "Power of the worker's whole board."),
    ("flq_worker_temperature_celsius", "temperature_c", "Temperature of the hottest zone of the worker's board."),
    ("flq_worker_cpu_ratio", "cpu", "Utilization of the worker's CPUs."),
    ("flq_worker_gpu_ratio", "gpu", "Utilization of the worker's GPU."),
    ("flq_worker_throttled", "throttled", "1 while CPU or GPU are throttled because of heat or power."),
)
COUNTERS = (
    ("flq_worker_energy_joules", "energy_j", "Energy of the worker's board in this run."),
    ("flq_worker_trained_samples", "samples", "Samples that the worker has trained on in this run."),
)


def _of_devices(workers: Dict[str, Status]) -> Iterator[Metric]:
    for family, table in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
        for name, key, meaning in table:
            metric = family(name, meaning, labels=["worker"])
            for worker, status in workers.items():
                value = (status["device"] or {}).get(key)
                if value is not None:
                    metric.add_metric([worker], float(value))
            yield metric
