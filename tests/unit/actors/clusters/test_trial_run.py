"""The life of a trial on a fake host: outcomes, phases, what is released and what is logged."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from actors.clusters import live, trial_run
from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.conditions import Conditions
from actors.clusters.health import SchedulerDied
from actors.clusters.provisioner import Provisioner
from actors.clusters.replay import Replayed
from actors.clusters.trial_run import TrialRun, TrialSpec
from campaign.core import log
from campaign.core.errors import StallError
from campaign.core.host_load import LoadSample
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Check, Trial
from campaign.schema.model import ClusterSettings, ValiditySettings
from tests.fakes.host import FakeHost, connect_to_fakes
from tests.fakes.scheduler import FakeScheduler

MANIFEST = SimpleNamespace(name="fake", facts={}, recipe=None, kernel_version="6.1")
BUNDLE = SimpleNamespace(hash="0" * 64, manifest=MANIFEST)
WORKLOAD = SimpleNamespace(hash="1" * 64)


class FakeReplay:
    """A replay that does what `acting` says while it runs."""

    acting = None

    def __init__(self, workload, bound, topology, remotes, clock, *, questions):
        self._clock = clock
        self.told_lost = []

    async def prepare(self):
        pass

    async def run(self, deadline_s, stall_s):
        self._clock.detail("0 of 1 jobs done")
        if FakeReplay.acting:
            await FakeReplay.acting()

    async def lose(self, node):
        return f"fake gave up what ran on {node}"

    async def collect(self, limit):
        return Replayed(JOBS_SCHEMA.empty_table(), Conditions({}, 0.0), 0.0)

    async def logs(self):
        return {"logs/head/x": b"log"}


@pytest.fixture
def lived(monkeypatch):
    """Live a trial whose replay does as it is told; its evaluation."""
    connect_to_fakes(monkeypatch)
    monkeypatch.setattr(live, "WATCH_S", 0.01)
    monkeypatch.setattr(live, "SETTLE_S", 0.0)
    monkeypatch.setattr(trial_run, "Replay", FakeReplay)
    monkeypatch.setattr(TrialRun, "_judge", lambda self, *_: ())

    def live_it(host, acting=None, prefetch="none", **settings):
        monkeypatch.setattr(FakeReplay, "acting", acting)
        spec = ClusterSpec("test", FakeScheduler(), ClusterSettings(**settings), BUNDLE, 1, 2)
        trial = TrialSpec(
            Trial(number=7, point={}),
            "fake",
            2,
            {},
            ValiditySettings(),
            WORKLOAD,
            prefetch=prefetch,
        )

        async def run():
            provisioner = Provisioner(spec, host, host)
            evaluation = await TrialRun(spec, trial, host, provisioner).evaluate()
            prefetched = await provisioner._prefetched if provisioner._prefetched else None
            await provisioner.close()
            return evaluation, prefetched

        return asyncio.run(run())

    return live_it


def fail(error):
    async def acting():
        raise error

    return staticmethod(acting)


def test_a_trial_that_goes_well_passes_all_phases_and_leaves_nothing(lived):
    host = FakeHost()
    evaluation, _ = lived(host)
    assert (evaluation.outcome, evaluation.reason) == ("ok", "")
    assert evaluation.host == "h"
    lived_through = " ".join(evaluation.phases)
    assert lived_through == (
        "golden placed started reachable ready workload first_job collected torn_down"
    )
    assert evaluation.files["logs/head/x"] == b"log"
    assert host.slots == {}


def test_it_is_kept_which_devices_the_nodes_had(lived):
    evaluation, _ = lived(FakeHost(), devices={"gpu": 2})
    assert evaluation.provenance.devices == (
        "n1=0000:01:00.0,0000:01:00.1 n2=0000:02:00.0,0000:02:00.1"
    )
    evaluation, _ = lived(FakeHost())
    assert evaluation.provenance.devices == ""


def test_a_host_that_has_no_slot_is_told_and_the_phase_is_in_the_log(lived, caplog):
    caplog.handler.addFilter(log.ContextFilter())
    with caplog.at_level(logging.DEBUG):
        evaluation, _ = lived(FakeHost(refuses=["acquire"]))
    assert evaluation.outcome == "infrastructure_failed"
    assert evaluation.reason == "acquire is refused"
    ours = [record for record in caplog.records if record.name.startswith(("actors.", "campaign."))]
    assert {(record.campaign, record.trial) for record in ours} == {("test", 7)}
    phases = [record for record in ours if record.getMessage().startswith("phase ")]
    assert (phases[0].event, phases[0].span) == ("begin", "placed")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(StallError("halted"), "stalled"), (SchedulerDied("died"), "scheduler_failed")],
)
def test_a_trial_whose_workload_fails_keeps_logs_and_releases_its_cluster(lived, error, outcome):
    host = FakeHost()
    evaluation, _ = lived(host, fail(error))
    assert (evaluation.outcome, evaluation.reason) == (outcome, str(error))
    assert (evaluation.jobs is not None) == (outcome == "stalled")
    assert "logs/head/x" in evaluation.files
    assert host.slots == {}


def test_a_trial_that_loses_a_compute_node_says_what_the_scheduler_made_of_it(lived):
    host = FakeHost()

    async def lose():
        for nodes in host.slots.values():
            nodes["n2"] = "shutoff"
        await asyncio.sleep(60)

    evaluation, _ = lived(host, staticmethod(lose))
    assert evaluation.outcome == "ok"  # the check of lost nodes judges it
    assert evaluation.reason == ("n2 was lost: its VM is shutoff; fake gave up what ran on n2")


def test_a_trial_that_loses_its_head_has_failed(lived):
    host = FakeHost()

    async def lose():
        for nodes in host.slots.values():
            nodes["head"] = "crashed"
        await asyncio.sleep(60)

    evaluation, _ = lived(host, staticmethod(lose))
    assert evaluation.outcome == "infrastructure_failed"
    assert evaluation.reason.startswith("head was lost")


@pytest.mark.parametrize("when", ["running", "collecting"])
def test_the_next_cluster_is_prefetched_when_it_is_wanted(lived, when):
    host = FakeHost()
    _, prefetched = lived(host, prefetch=when)
    assert prefetched is not None
    assert host.slots == {}


def test_steps_of_the_next_cluster_are_logged_under_its_own_name(lived, caplog):
    caplog.handler.addFilter(log.ContextFilter())
    with caplog.at_level(logging.DEBUG):
        lived(FakeHost(), prefetch="running")
    of_next = [r for r in caplog.records if r.getMessage().startswith("resume of test-next-")]
    assert of_next and all(record.cluster.startswith("test-next-") for record in of_next)


def test_every_record_names_the_trials_present_phase_also_those_of_older_tasks(lived, caplog):
    caplog.handler.addFilter(log.ContextFilter())

    async def acting():
        await asyncio.sleep(0.1)  # the nodes are watched meanwhile

    class Watched(FakeHost):
        async def states(self, slot, names):
            logging.getLogger("actors.test").debug("watched")
            return await super().states(slot, names)

    with caplog.at_level(logging.DEBUG):
        lived(Watched(), staticmethod(acting))
    ours = [record for record in caplog.records if record.name.startswith(("actors.", "campaign."))]
    order = list(dict.fromkeys(record.phase for record in ours))
    assert " ".join(order) == (
        "placed golden started reachable ready workload collected torn_down judged"
    )
    watched = {record.phase for record in ours if record.getMessage() == "watched"}
    assert {"golden", "reachable", "ready", "workload"} <= watched
    own = [record for record in ours if record.getMessage().startswith("phase ")]
    assert all(record.span == record.phase for record in own if record.span != "golden")


CROWDED = LoadSample(0.0, 5.0, 2, cpu=0.97, foreign_cpus=1.8, own_cpus=0.2, waited_s=8.0, ran_s=2.0)
"""Others have nine tenths of two CPUs, and nodes wait for four fifths of what they want."""


def test_the_load_of_the_hosts_is_kept_by_phase_and_judged_beside_the_jobs(lived, monkeypatch):
    seen = []
    monkeypatch.setattr(TrialRun, "_judge", lambda self, _, taken: seen.append(taken) or ())
    host = FakeHost()
    host.samples = [CROWDED]
    evaluation, _ = lived(host)
    assert seen == [pytest.approx(0.72)]
    assert (evaluation.outcome, evaluation.reason, evaluation.busy) == ("ok", "", "")
    facts = evaluation.provenance.facts
    assert (facts["cpu_pressure_pct"], facts["cpu_taken_pct"]) == ("97", "72")
    assert {"placed", "ready", "workload"} <= {load.phase for load in evaluation.loads}


def test_a_trial_that_is_invalid_on_a_busy_host_names_the_host_and_its_pressure(lived, monkeypatch):
    failed = Check(name="submission lag", value=30.5, limit=5, unit="s", ok=False)
    monkeypatch.setattr(TrialRun, "_judge", lambda self, *_: (failed,))
    host = FakeHost()
    assert lived(host)[0].reason == "submission lag: 30.5 s (limit 5)"
    host.samples = [CROWDED]
    evaluation, _ = lived(host)
    cause = (
        "host h was busy while jobs ran: CPU pressure 97 %, other programs used 1.8 of 2 CPUs, "
        "which took 72 % of what nodes wanted"
    )
    assert evaluation.reason == f"submission lag: 30.5 s (limit 5); likely cause: {cause}"
    assert evaluation.busy == cause


def test_a_trial_whose_host_doesnt_tell_its_load_is_judged_without(lived):
    evaluation, _ = lived(FakeHost(refuses=["load"]))
    assert evaluation.outcome == "ok"
    assert evaluation.loads == ()
    assert "cpu_taken_pct" not in evaluation.provenance.facts
