"""GET /metrics: Prometheus reads the values of /status."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flq.core.statuses import STATUSES
from flq.master.routes.metrics import Metrics

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")


def samples(text):
    """Parse an exposition: {(name, sorted labels): value}; no sample is duplicate."""
    found = {}
    for family in text_string_to_metric_families(text.decode("utf-8")):
        assert family.documentation and family.type != "unknown", family.name
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def scrape(master):
    code, headers, body = master.send("GET", "/metrics")
    assert code == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(body)


def test_the_numbers_are_those_of_the_status(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    status = master.run.status
    found = samples(Metrics(lambda: status).text())
    totals = status["totals"]
    assert found["flq_round", ()] == found["flq_max_rounds", ()] == 3
    assert found["flq_connected_workers", ()] == status["connected_workers"]
    assert found["flq_test_loss", ()] == 3.0
    assert ("flq_test_accuracy_ratio", ()) not in found  # a quadratic has none
    for direction in "up", "down":
        label = (("direction", direction),)
        assert found["flq_payload_bits_total", label] == totals["payload_bits_" + direction] > 0
        assert found["flq_frame_bytes_total", label] == totals["frame_bytes_" + direction] > 0
        assert found["flq_wire_bytes_total", label] == totals["wire_bytes_" + direction] > 0
    assert found["flq_retransmitted_bytes_total", ()] == totals["retransmitted_bytes"]
    for worker_id, worker in status["worker_status"].items():
        for outcome in STATUSES:
            label = (("outcome", outcome), ("worker", worker_id))
            assert found["flq_worker_rounds_total", label] == worker[outcome]
        assert found["flq_worker_rounds_total", (("outcome", "uploaded"), ("worker", worker_id))] == 3
        assert found["flq_worker_training_loss", (("worker", worker_id),)] == worker["loss"]
        label = (("direction", "up"), ("worker", worker_id))
        assert found["flq_worker_wire_bytes_total", label] == worker["wire_bytes_up"]
    assert found["flq_run_info", (("config_hash", master.run.config_hash), ("run_id", "local"))] == 1


def test_reported_values_of_boards_are_present_and_others_are_absent(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    status = master.run.status
    status["worker_status"]["0"]["device"] = {"power_w": 2.5, "throttled": True, "energy_j": 40.0, "age_s": 1.0}
    found = {
        name: value
        for (name, labels), value in samples(Metrics(lambda: status).text()).items()
        if dict(labels).get("worker") == "0"
    }
    assert found["flq_worker_power_watts"] == 2.5 and found["flq_worker_energy_joules_total"] == 40.0
    assert found["flq_worker_throttled"] == 1.0 and "flq_worker_temperature_celsius" not in found
    assert not any(
        name == "flq_worker_power_watts" and ("worker", "1") in labels
        for name, labels in samples(Metrics(lambda: status).text())
    )


def test_the_run_is_in_exactly_one_state(make_master):
    status = make_master(*RUN).status()
    for state in "LOBBY", "OPEN", "CLOSING", "FINISHED":
        found = samples(Metrics(lambda state=state: dict(status, state=state)).text())
        states = {labels[0][1]: value for (name, labels), value in found.items() if name == "flq_run_state"}
        assert states == dict.fromkeys(("LOBBY", "OPEN", "CLOSING", "FINISHED"), 0.0) | {state: 1.0}


def test_labels_have_few_values(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    values = {}
    for (name, labels), _ in scrape(master).items():
        for label, value in labels if name != "flq_run_info" else ():
            values.setdefault(label, set()).add(value)
    assert values == {
        "worker": {"0", "1"},
        "direction": {"up", "down"},
        "outcome": set(STATUSES),
        "state": {"LOBBY", "OPEN", "CLOSING", "FINISHED"},
    }


def test_two_runs_in_one_process_do_not_mix(make_master, run_workers):
    busy, idle = make_master(*RUN), make_master(*RUN)
    run_workers(busy)
    assert scrape(busy)["flq_round", ()] == 3 and scrape(idle)["flq_round", ()] == 0


def test_the_memory_of_the_process_is_reported(make_master):
    assert scrape(make_master(*RUN))["process_resident_memory_bytes", ()] > 10**7


def test_without_a_status_there_are_only_the_metrics_of_the_process():
    assert not any(name.startswith("flq_") for name, _ in samples(Metrics(lambda: {}).text()))


def test_an_unreported_loss_is_omitted(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    status = master.status()
    status["worker_status"]["0"].update(loss=None, connected=True)
    found = samples(Metrics(lambda: status).text())
    assert found["flq_worker_connected", (("worker", "0"),)] == 1.0
    assert ("flq_worker_training_loss", (("worker", "0"),)) not in found


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", "*/*", "nonsense"])
def test_the_text_format_is_sent_for_any_accept_header(make_master, accept):
    master = make_master(*RUN)
    code, headers, body = master.send("GET", "/metrics", headers={"Accept": accept})
    assert code == 200 and headers["Content-Type"].startswith("text/plain") and samples(body)
    code, headers, body = master.send("HEAD", "/metrics")
    assert code == 200 and body == b"" and int(headers["Content-Length"]) > 1000
