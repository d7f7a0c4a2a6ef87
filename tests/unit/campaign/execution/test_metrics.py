"""Metrics: what Prometheus reads of a campaign, that its own tools accept it, and the examples."""

import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from campaign.config.compose import compose
from campaign.core.errors import ConfigError
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.metrics import exported
from campaign.execution.progress import Progress
from campaign.records.history import History
from tests.prometheus import ALERTS, EXAMPLES, alert_queries, board_queries, program, prometheus

OBJECTIVES = {"awrt_s": "minimize", "node_hours": "minimize"}
NAME = re.compile(r"hpc_campaign_\w+")


@pytest.fixture
def campaign():
    """Run a small campaign with settings; its values are asked for in mid-run."""

    def run(*settings, ask):
        composed = compose(["testbed=simulation", "name=c1", *settings])
        progress = Progress(4, objectives=OBJECTIVES)
        with exported(composed, progress, History()) as listeners:
            (metrics,) = listeners
            for number, outcome in enumerate(["ok", "ok", "infrastructure_failed"]):
                for one in (progress, metrics):
                    one.started(Trial(number=number, point={}))
                values = {"awrt_s": 9.0 - number, "node_hours": 4.0}
                record = TrialRecord(
                    number=number,
                    point={},
                    attempt=1,
                    outcome=outcome,
                    metrics=values if outcome == "ok" else {},
                    phases={Phase.WORKLOAD: 2.0},
                    host="h1",
                    provenance={"virtual_s": "60"},
                    baseline=number == 0,
                )
                for one in (progress, metrics):
                    one.finished(record, Evaluation(outcome), settled=True)
            metrics.started(Trial(number=3, point={}))
            metrics.running({3: Status(Phase.WORKLOAD, 0.0)})
            return ask(), metrics

    return run


def values_of(text):
    """The samples of an exposition, by name and labels."""
    return {
        (sample.name.removeprefix("hpc_campaign_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def served(caplog):
    (line,) = [one for one in caplog.messages if one.startswith("metrics at ")]
    return line.removeprefix("metrics at ")


def test_the_endpoint_says_how_far_the_campaign_is(campaign, caplog):
    caplog.set_level("INFO")
    text, _ = campaign("output.metrics_port=0", ask=lambda: read(served(caplog)))
    found = values_of(text)
    for name, *labels, value in (
        ("info", "simulation", "slurm", 1),
        ("running", 1),
        ("trials_wanted", 4),
        ("trials_settled", 3),
        ("trials", "ok", 2),
        ("trials", "infrastructure_failed", 1),
        ("trials", "stalled", 0),
        ("attempts_total", "h1", "ok", 2),
        ("phase_seconds_total", "workload", 6),
        ("phase_seconds_total", "golden", 0),
        ("trials_running", "workload", 1),
        ("trials_running", "golden", 0),
        ("front_points", 1),
        ("best", "awrt_s", "minimize", 8),
        ("virtual_time_ratio", "h1", 30),
    ):
        assert found[name, *sorted(["c1", *labels])] == value, name
    assert found["last_judged_timestamp_seconds", "c1"] == pytest.approx(time.time(), abs=100)
    with pytest.raises(OSError, match="refused"):  # it ends with the campaign
        read(served(caplog))


def test_the_file_is_whole_and_says_in_the_end_that_it_is_over(campaign, tmp_path):
    file = tmp_path / "c1.prom"
    begun, _ = campaign(f"output.metrics_file={file}", ask=file.read_text)
    assert values_of(begun)["running", "c1"] == 1
    ended = values_of(file.read_text())
    assert (ended["running", "c1"], ended["trials_settled", "c1"]) == (0, 3)
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_can_no_longer_be_written_ends_no_campaign(campaign, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    campaign(f"output.metrics_file={folder}/c1.prom", ask=lambda: shutil.rmtree(folder))


@pytest.mark.parametrize("place", ["c1.txt", "absent/c1.prom"])
def test_a_place_that_no_exporter_reads_is_refused(campaign, tmp_path, place):
    with pytest.raises(ConfigError, match=r"output.metrics_file = .*: the node exporter reads"):
        campaign(f"output.metrics_file={tmp_path / place}", ask=lambda: None)


def test_a_port_that_is_taken_is_refused(campaign, caplog):
    caplog.set_level("INFO")

    def ask():
        port = urllib.parse.urlsplit(served(caplog)).port
        with pytest.raises(ConfigError, match=r"output\.metrics_port = "):
            campaign(f"output.metrics_port={port}", ask=lambda: None)

    campaign("output.metrics_port=0", ask=ask)


def test_nothing_is_listened_to_without_a_setting():
    with exported(compose(["testbed=simulation"]), Progress(1), History()) as listeners:
        assert listeners == ()


def queries():
    """Every query of the board and of the alerts."""
    return [query for _, query in (*board_queries(), *alert_queries())]


def test_board_alerts_and_documents_know_only_metrics_that_there_are(campaign, caplog):
    caplog.set_level("INFO")
    text, _ = campaign("output.metrics_port=0", ask=lambda: read(served(caplog)))
    families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    asked = {name for query in queries() for name in NAME.findall(query)}
    assert len(asked) > 10 and asked <= families
    page = (EXAMPLES.parents[1] / "watching.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `hpc_campaign_")]
    named = {
        name if name.startswith("hpc_") else f"hpc_campaign{name}"
        for row in rows
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == families


def test_its_own_tool_accepts_metrics_and_alerts(campaign, tmp_path):
    promtool = program("promtool")
    file = tmp_path / "c1.prom"
    campaign(f"output.metrics_file={file}", ask=lambda: None)
    text = file.read_bytes()
    for command, given in (
        (["check", "metrics"], text),
        (["check", "rules", ALERTS], None),
        (["check", "config", EXAMPLES / "prometheus.yaml"], None),
    ):
        done = subprocess.run([promtool, *command], input=given, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), (command, done.stdout, done.stderr)


def test_a_real_prometheus_reads_them_and_answers_every_query(campaign, caplog, tmp_path):
    caplog.set_level("INFO")
    answers, _ = campaign(
        "output.metrics_port=0",
        ask=lambda: _asked(urllib.parse.urlsplit(served(caplog)).netloc, tmp_path),
    )
    assert answers["hpc_campaign_trials_settled"] == [["c1", "3"]]
    # A simulation needs no host, and nothing has failed twice or stood still.
    empty = {query for query, found in answers.items() if not found}
    assert all("host_memory" in one or ">" in one for one in empty), empty


def _asked(target, folder):
    """Have a Prometheus read `target` a few times; return its answers to all queries."""
    with prometheus(target, folder) as running:
        # It reads several times before rates have values.
        while running.times_read() < 3:
            time.sleep(0.3)
        asked = ("hpc_campaign_trials_settled", *queries())
        return {query: running.values(query) for query in asked}
