"""Campaigns with hooks: what they are told and when, what they add, and what their failures do."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from campaign.config.compose import compose
from campaign.core.errors import CampaignError, ConfigError
from campaign.core.exits import TRIALS_FAILED
from campaign.core.phases import Phase
from campaign.core.provenance import Provenance
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Replicate
from campaign.execution.attainable import check_rehearsals
from campaign.execution.run import run
from campaign.hooks.context import HookAnswer
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.testbeds import NodeImages
from tests.samples import jobs_table

EXAMPLES = Path(__file__).parents[4] / "docs" / "examples"
RECORD = 'echo "$(cat)" >> {log}'


class NoWorker:
    """Stands for MLflow's process, which knows nothing of hooks."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def finish(self, _):
        pass

    def __getattr__(self, _):
        return lambda *_, **__: None


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """Runs a campaign in simulation with hooks; its history and its results."""
    monkeypatch.setattr("campaign.execution.run.tracker_for", lambda *_: None)
    monkeypatch.setattr("campaign.execution.run.MlflowWorker", NoWorker)

    def carried_out(*settings, status=0):
        fixed = [
            "testbed=simulation",
            "name=demo",
            "workload.jobs=5",
            "search.holdout=0",
            "search.trials=1",
            f"output.results={tmp_path}/r",
            f"output.mlruns={tmp_path}/m",
        ]
        assert run(compose([*fixed, *settings])) == status
        results = Results(tmp_path / "r", "demo")
        return history_of(results.ledger_path), results

    return carried_out


def hook(name, script, *moments, **settings):
    """Settings of a hook that is a line of shell."""
    command = json.dumps(["sh", "-c", script])
    return [
        f"hooks.{name}.command={command}",
        f"hooks.{name}.on={json.dumps(moments)}",
        *(f"hooks.{name}.{key}={value}" for key, value in settings.items()),
    ]


def answering(answer):
    return f"echo '{json.dumps(answer)}' > \"$HPC_CAMPAIGN_OUT/answer.json\""


def test_hooks_are_told_each_moment_in_order(campaign, tmp_path):
    log = tmp_path / "log"
    history, _ = campaign(*hook("all", RECORD.format(log=log), "*"))
    told = [json.loads(line) for line in log.read_text().splitlines()]
    moments = [
        "campaign.before",
        "campaign.images.before",
        "campaign.images.after",
        "campaign.search.before",
        "trial.before",
        "cluster.simulated.before",
        "cluster.simulated.after",
        "trial.after",
        "campaign.search.after",
        "campaign.conclusion.before",
        "campaign.conclusion.after",
        "campaign.after",
    ]
    assert [one["moment"] for one in told] == moments
    assert [one.moment for one in history.hooks] == moments
    assert {one.outcome for one in history.hooks} == {"ok"}
    after = told[7]["trial"]
    assert after["outcome"] == "ok"
    assert after["metrics"] == history.trial(0).metrics
    assert told[6]["phase"]["seconds"] >= 0


def test_without_hooks_nothing_is_wrapped_or_recorded(campaign, monkeypatch):
    monkeypatch.delattr("campaign.execution.hooked_trials.HookedTrials")
    history, results = campaign()
    assert history.hooks == []
    assert not (results.trial_folder(Replicate(0)) / "hooks").exists()


def test_what_a_hook_adds_is_in_record_and_folder(campaign):
    check = {"name": "quiet", "value": 1, "limit": 2, "unit": "", "ok": True}
    answer = {"metrics": {"ipc": 1.5}, "checks": [check]}
    script = f'mkdir "$HPC_CAMPAIGN_OUT/a"; echo x > "$HPC_CAMPAIGN_OUT/a/b"; {answering(answer)}'
    history, results = campaign(*hook("perf", script, "trial.after"))
    record = history.trial(0)
    assert record.metrics["hook.perf.ipc"] == 1.5
    assert record.checks[-1].name == "hook.perf.quiet"
    assert results.files(0)["hooks/perf/a/b"] == b"x\n"
    assert "hook.perf.ipc" in results.report_path.read_text()


def test_a_hooks_metric_can_be_an_objective(campaign):
    history, _ = campaign(
        *hook("perf", answering({"metrics": {"ipc": 1.5}}), "trial.after"),
        "objectives.hook.perf.ipc=maximize",
    )
    assert history.config["objectives"]["hook.perf.ipc"] == "maximize"
    assert history.trial(0).valid


def test_a_trial_without_the_metric_that_is_searched_for_is_invalid(campaign):
    history, _ = campaign(
        *hook("perf", "true", "trial.after"),
        "objectives.hook.perf.ipc=maximize",
        status=TRIALS_FAILED,
    )
    assert history.trial(0).outcome == "invalid"
    assert history.trial(0).reason == "no value for hook.perf.ipc: its hook added none"


def test_a_check_that_isnt_kept_to_makes_the_trial_invalid(campaign):
    check = {"name": "hot", "value": 95, "limit": 80, "unit": "C", "ok": False}
    history, _ = campaign(
        *hook("heat", answering({"checks": [check]}), "trial.after"), status=TRIALS_FAILED
    )
    assert history.trial(0).outcome == "invalid"
    assert history.trial(0).reason == "hook.heat.hot: 95 C, limit 80"


def test_a_metric_that_is_added_twice_keeps_its_first_value(campaign):
    script = f"n=$(cat | grep -c cluster); {answering({'metrics': {'ipc': 1}})}"
    history, _ = campaign(*hook("perf", script, "cluster.simulated.after", "trial.after"))
    assert history.trial(0).metrics["hook.perf.ipc"] == 1
    assert history.trial(0).valid
    first, second = history.hooks
    assert (first.outcome, second.outcome) == ("ok", "failed")
    assert "a second time" in second.detail


@pytest.mark.parametrize(
    ("moment", "script"),
    [("trial.before", "sleep 60"), ("cluster.*.before", "exit 1"), ("trial.after", "exit 1")],
)
def test_a_failed_hook_is_ignored_or_makes_its_trial_invalid(campaign, moment, script):
    history, results = campaign(
        *hook("mine", script, moment, on_failure="fail", timeout_s=0.2),
        status=TRIALS_FAILED,
    )
    record = history.trial(0)
    assert record.outcome == "invalid"
    assert record.reason.startswith("the hook mine failed at ")
    # One that fails before the trial keeps it from starting.
    assert (results.trial_jobs(0) is None) == (moment == "trial.before")
    assert history.hooks[0].outcome == ("failed" if script == "exit 1" else "timeout")


def test_a_failed_hook_is_recorded_and_ignored_unless_it_must_not_be(campaign):
    history, _ = campaign(*hook("mine", "echo no; exit 1", "trial.before", "campaign.*"))
    assert history.trial(0).valid
    assert {one.outcome for one in history.hooks} == {"failed"}
    assert history.hooks[0].detail == "exit status 1; it printed: no"


def test_a_campaign_ends_where_a_hook_fails_that_must_not(campaign, tmp_path):
    log = tmp_path / "log"
    with pytest.raises(CampaignError, match=r"the hook mine failed at campaign\.search\.before"):
        campaign(
            *hook("mine", "exit 1", "campaign.search.before", on_failure="fail"),
            *hook("log", RECORD.format(log=log), "campaign.failure"),
        )
    assert "the hook mine failed" in json.loads(log.read_text())["reason"]


def _with_function(monkeypatch, function):
    monkeypatch.setattr("campaign.execution.hook_calls.function_of", lambda _: function)
    return ["hooks.mine.entry_point=ours"]


def test_a_campaign_has_no_metrics(campaign, monkeypatch):
    settings = _with_function(monkeypatch, lambda _: HookAnswer(metrics={"a": 1}))
    history, _ = campaign(*settings, "hooks.mine.on=[campaign.after]")
    assert history.hooks[0].detail == "a campaign has no metrics and checks"
    assert history.hooks[0].outcome == "failed"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (hook("mine", "true", "trial.midway"), "hooks.mine.on"),
        (["hooks.mine.on=[trial.after]"], "either a command or an entry_point"),
        (hook("no-name", "true", "trial.after"), "names of hooks"),
        (["objectives.hook.perf.ipc=maximize"], "no hook adds such a metric"),
        (
            [*hook("perf", "true", "campaign.after"), "objectives.hook.perf.ipc=maximize"],
            "called at no moment of a trial",
        ),
    ],
)
def test_settings_that_cant_be_meant_are_refused(settings, said):
    with pytest.raises(ConfigError) as error:
        compose(["testbed=simulation", *settings])
    assert said in str(error.value)


def test_a_ladder_has_no_values_of_hooks():
    settings = hook("perf", "true", "trial.after")
    composed = compose(
        [
            "testbed=virtual-time",
            "search.ladder=[simulation,virtual-time]",
            *settings,
            "objectives.hook.perf.ipc=maximize",
        ]
    )
    with pytest.raises(ConfigError, match=r"no hook is called .* hook\.perf\.ipc"):
        check_rehearsals(composed, None)


@pytest.mark.parametrize("what", ["command=[/nonexistent/program]", "entry_point=nobody_has_this"])
def test_what_isnt_there_is_refused_before_anything_starts(campaign, what):
    with pytest.raises(ConfigError, match=r"nonexistent|nobody_has_this"):
        campaign(f"hooks.mine.{what}", "hooks.mine.on=[trial.after]")


# The examples of docs/hooks.md.


@pytest.fixture
def chat():
    """A chat's webhook on this machine; what was posted there."""
    posted = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_example_post_to_a_chat(campaign, chat, monkeypatch):
    url, posted = chat
    monkeypatch.setenv("CHAT_URL", url)
    history, _ = campaign(
        f"hooks.chat.command=[{EXAMPLES}/post_to_chat.py]",
        "hooks.chat.on=[campaign.after,campaign.failure,trial.failure]",
    )
    assert posted == [{"text": "demo: campaign.after"}]
    assert [one.outcome for one in history.hooks] == ["ok"]


def test_example_copy_traces(campaign, tmp_path, monkeypatch):
    package = tmp_path / "site"
    metadata = package / "ours-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[hpc_campaign.hooks]\ncopy_traces = copy_traces:copy_traces\n"
    )
    (package / "copy_traces.py").write_text((EXAMPLES / "copy_traces.py").read_text())
    monkeypatch.syspath_prepend(package)
    monkeypatch.setenv("ARCHIVE", str(tmp_path / "archive"))
    history, results = campaign(
        "hooks.traces.entry_point=copy_traces", "hooks.traces.on=[trial.after,trial.failure]"
    )
    archived = tmp_path / "archive" / "demo-0-1"
    assert (archived / "policy.json").read_bytes() == results.files(0)["policy.json"]
    assert (archived / "jobs.parquet").is_file()
    record = history.trial(0)
    assert record.metrics["hook.traces.trace_bytes"] > 0
    assert record.checks[-1].name == "hook.traces.trace"


PERF = """#!/usr/bin/env python3
import signal, sys
out = sys.argv[sys.argv.index("-o") + 1]
def end(*_):
    with open(out, "w") as file:
        file.write("# started\\n\\n3000,,instructions,1,100.00,,\\n2000,,cycles,1,100.00,,\\n")
    sys.exit(0)
signal.signal(signal.SIGINT, end)
open(out + ".ready", "w").close()
while True:
    signal.pause()
"""
"""A `perf stat` that counts until it is interrupted, and writes its counts then."""


class LiveTestbed:
    """Evaluates a trial whose phases can be heard of while it runs, one after the other."""

    PHASES = (Phase.STARTED, Phase.WORKLOAD, Phase.COLLECTED)

    def __init__(self, folder):
        self._folder = folder
        self._trial = None
        self._steps = []

    def room(self):
        return 0 if self._trial else 1

    def start(self, trial):
        self._trial = trial
        self._steps = list(self.PHASES)

    def wait(self, timeout_s):
        if len(self._steps) > 1:
            if self._steps.pop(0) == Phase.WORKLOAD:
                while not list(self._folder.glob("*/*/out/perf/*.ready")):
                    threading.Event().wait(0.01)
            return []
        trial = self._trial
        self._trial = None
        phases = dict.fromkeys([Phase.PLACED, *self.PHASES], 1.0)
        provenance = Provenance(testbed="live")
        jobs = jobs_table(2, jobs=5)
        return [(trial, Evaluation("ok", jobs=jobs, phases=phases, provenance=provenance))]

    def statuses(self):
        return {self._trial.number: Status(self._steps[0], 0.0)} if self._trial else {}

    def busy(self):
        return ""

    def close(self):
        pass


class LiveBackend:
    def __init__(self, folder):
        self._folder = folder

    def prepare(self, begun_with):
        return NodeImages()

    def check(self):
        pass

    def open(self, stack, workloads, logs=None):
        return LiveTestbed(self._folder)


def test_example_collect_perf(campaign, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "perf"
    program.parent.mkdir()
    program.write_text(PERF)
    program.chmod(0o755)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr("campaign.execution.run.backend_for", lambda *_: LiveBackend(scratch))
    log = tmp_path / "log"
    history, results = campaign(
        f"hooks.perf.command=[{EXAMPLES}/collect_perf.py]",
        "hooks.perf.on=[cluster.workload.before,cluster.workload.after]",
        *hook("log", RECORD.format(log=log), "cluster.*"),
    )
    assert {one.outcome for one in history.hooks} == {"ok"}, history.hooks
    assert history.trial(0).metrics["hook.perf.ipc"] == 1.5
    assert "hooks/perf/perf.csv" in results.files(0)
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["moment"], one["phase"]["live"]) for one in told] == [
        ("cluster.workload.before", True),
        ("cluster.workload.after", True),
        ("cluster.collected.before", True),
        ("cluster.placed.before", False),
        ("cluster.placed.after", False),
        ("cluster.started.before", False),
        ("cluster.started.after", False),
        ("cluster.collected.after", False),
    ]
