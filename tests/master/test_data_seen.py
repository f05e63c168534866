"""What the workers report of their data is in status, page, journal, config.json and workbook."""

import json
import logging
import os

from local_master import HttpWorker, registration
from reports import OTHER, REPORT
from waits import wait_until

from flq.config_file import load_config
from flq.core.data_report import described, to_json
from flq.protocol.worker_events import CallPoll
from flq.report.recorded import read_journal
from flq.report.workbook import rewrite

RUN = ("system.total_workers=2", "system.max_rounds=2")
LOCAL = ("dataset.partition=local",)
BRIGHT = REPORT._replace(dtype="int64", highest=300.0, scale=1023.0, auto_scale=1023.0)


class SeeingWorker(HttpWorker):
    """A worker whose task reports data, scaled as the settings ask."""

    def __init__(self, master, worker_id, report):
        super().__init__(master, worker_id, waits=False)
        self._report = report

    def build(self, action):
        built = super().build(action)
        return built._replace(data=self._report._replace(scale=action.settings.dataset.scale or self._report.scale))


def run_both(master, *reports):
    """Run two workers with such data to the end of the run, in turns; return their notes."""
    workers, notes = [SeeingWorker(master, m, report) for m, report in enumerate(reports)], ["", ""]
    while not all(isinstance(worker.action, CallPoll) for worker in workers):  # a poll before both joined would wait
        for worker in workers:
            isinstance(worker.action, CallPoll) or worker.step()
    while any([worker.step() for worker in workers]):
        for m, worker in enumerate(workers):
            notes[m] += " ".join(worker.machine.notes)
            worker.machine.notes.clear()
    master.run.finish()
    return notes


def join(master, worker_id, report):
    body = dict(n_samples=10, layout_crc=master.layout.crc, data=report and to_json(report))
    status, _, text = master.send("POST", "/register", json.dumps(registration(worker_id, **body)))
    return status, json.loads(text)


def folder_of(master):
    return os.path.dirname(master.run.results.workbook)


def config_of(master):
    with open(os.path.join(folder_of(master), "config.json"), encoding="utf-8") as stream:
        return json.load(stream)


def test_another_copy_is_rejected_and_the_operator_reads_why(make_master, caplog):
    master = make_master(*RUN)
    assert join(master, 0, OTHER)[0] == 200
    for _ in range(2):
        status, body = join(master, 1, REPORT)
        assert status == 409 and body["error"] == "Conflict"
        assert body["detail"].startswith("the data of worker 1 differ from those of the run: 140 training and 15 test")
        assert body["hint"] == (
            "copy the same files to every worker, or set dataset.partition=local in a new run; until round 1 begins, "
            "worker 0 may be started again with other data"
        )
    (record,) = [record for record in caplog.records if "is rejected" in record.message]
    assert record.levelno == logging.WARNING and body["detail"] in record.message
    feed = json.loads(master.send("GET", "/feed")[2])
    (item,) = [item for item in feed["log"]["items"] if item["kind"] == "data"]
    assert item["worker_id"] == 1 and item["text"] == record.message
    assert join(master, 1, OTHER)[0] == 200


def test_invalid_data_are_an_error_of_the_request(make_master):
    master = make_master(*RUN)
    body = registration(0, n_samples=10, layout_crc=master.layout.crc, data=dict(to_json(REPORT), scale=0))
    status, _, text = master.send("POST", "/register", json.dumps(body))
    assert status == 422 and json.loads(text)["detail"] == "data.scale must be a number in 1e-09..1e+09, got 0"


def test_the_data_are_in_status_journal_config_and_workbook(make_master, tmp_path):
    master = make_master(*RUN)
    assert master.status()["data"] is None and "data_seen" not in config_of(master)
    run_both(master, REPORT, REPORT)
    assert master.status()["data"] == described(REPORT)
    assert json.loads(master.send("GET", "/feed")[2])["state"]["data"] == described(REPORT)
    assert config_of(master)["data_seen"] == described(REPORT)
    path = os.path.join(folder_of(master), "config.json")
    assert load_config(path) == master.settings  # what was seen is no setting
    recorded = read_journal(folder_of(master))
    assert recorded.about["data"] == {"all": described(REPORT), "workers": []}
    sheet = master.sheets()["Data"]
    assert ("checksum of the labels", "1a2b3c4d") in sheet and ("samples of class 1: lime", 50) in sheet
    rewrite(recorded, str(tmp_path / "again.xlsx"))
    master.run.results.workbook = str(tmp_path / "again.xlsx")
    assert master.sheets()["Data"] == sheet


def test_with_local_data_each_worker_has_a_column_and_all_have_the_scale_of_the_first(make_master, caplog):
    master = make_master(*RUN, *LOCAL)
    notes = run_both(master, REPORT, BRIGHT)
    assert "the values of this worker, 0 to 300, are divided by 255" in notes[1] and "are divided by" not in notes[0]
    (told,) = [record.message for record in caplog.records if "alone they would be divided by 1023" in record.message]
    assert told.startswith("the values of worker 1, 0 to 300, are divided by 255, which worker 0 has chosen")
    rows = {row[0]: row[1:] for row in master.sheets()["Data"]}
    assert rows["data"] == ("all", "worker 0", "worker 1")
    assert rows["training samples"] == (280, 140, 140) and rows["highest value"] == (300, 255, 300)
    assert rows["divided by"] == (255, 255, 255)
    seen = config_of(master)["data_seen"]
    assert (seen["n_train"], seen["scale"], seen["checksum"]) == (280, 255.0, None)
    assert load_config(os.path.join(folder_of(master), "config.json")) == master.settings


def test_a_configuration_that_cannot_be_written_again_stops_no_round(make_master, monkeypatch, caplog):
    master = make_master(*RUN)

    def no_space():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(master.run.results, "save_config", no_space)
    run_both(master, REPORT, REPORT)
    assert len(master.run.record.rounds()) == 2
    assert "config.json is not written: No space left on device" in caplog.text


def test_a_long_list_of_classes_is_cut_in_the_status(make_master):
    master = make_master(*RUN)
    names = tuple("c%d" % i for i in range(100))
    join(master, 0, REPORT._replace(n_classes=100, class_names=names, class_counts=(3,) * 100))
    wait_until(lambda: master.status()["data"] is not None)
    found = master.status()["data"]
    assert found["n_classes"] == 100 and found["class_names"] == list(names[:20]) and found["class_counts"] == [3] * 20
