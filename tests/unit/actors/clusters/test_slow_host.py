"""A host that becomes slow: what was measured on it is brought home, and nothing disturbs that."""

import logging
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest

from actors.bootstrap.ssh import RemoteCommandFailed
from actors.clusters import golden, live, replay
from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.provisioner import Provisioner
from actors.clusters.trial_run import TrialRun, TrialSpec
from campaign.core.errors import SchedulerError
from campaign.core.trials import Trial
from campaign.schema.model import ClusterSettings, ValiditySettings
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load
from tests.fakes.cluster import AccountingScheduler, SlowHost, SlowRemote
from tests.fakes.host import FakeHost
from tests.fakes.virtual_time import VirtualTime

MANIFEST = SimpleNamespace(name="fake", facts={}, recipe=None, kernel_version="6.1")
BUNDLE = SimpleNamespace(hash="0" * 64, manifest=MANIFEST)
WORKLOAD = load(WorkloadSettings(jobs=4, max_width=1), slots=4)


class Watched(FakeHost):
    """A host that notes when its nodes are resumed."""

    def __init__(self, slow):
        super().__init__()
        self.slow = slow
        self.resumed = []

    async def resume(self, slot, names):
        await super().resume(slot, names)
        self.resumed.append((slot.cluster, len(self.slow.asked)))


@pytest.fixture
def virtual(monkeypatch):
    """Trials without waiting."""
    monkeypatch.setattr(live, "SETTLE_S", 0.0)
    monkeypatch.setattr(golden, "OFFER_POLL_S", 0.0)
    # What this machine's hypervisor gave to others in the moment that a trial takes here would be
    # judged as if it had been half a minute.
    monkeypatch.setattr(replay, "read_cpu", lambda: {"user": time.time(), "steal": 0.0})
    return VirtualTime(monkeypatch)


@pytest.fixture
def evaluate(virtual, monkeypatch):
    """Evaluate a trial on a SlowHost; its evaluation."""

    def evaluate_on(slow, prefetch="none", scheduler=None, host=None):
        async def connect(node, *_, **__):
            return SlowRemote(node, slow)

        monkeypatch.setattr(live.Remote, "connect", connect)
        used = scheduler or AccountingScheduler()
        spec = ClusterSpec("test", used, ClusterSettings(), BUNDLE, 1, 1)
        trial = TrialSpec(
            Trial(number=7, point={}),
            "fake",
            1,
            {},
            ValiditySettings(),
            WORKLOAD,
            prefetch=prefetch,
        )

        async def run():
            found = host or FakeHost()
            supplier = Provisioner(spec, found, found)
            evaluation = await TrialRun(spec, trial, found, supplier).evaluate()
            if supplier._prefetched:
                await supplier._prefetched
            await supplier.close()
            assert found.slots == {}
            return evaluation

        return virtual.run(run())

    return evaluate_on


def times_asked(slow, what):
    return len([one for one in slow.asked if one[1] == what])


def test_a_trial_on_a_host_as_fast_as_it_was_asks_each_thing_once(evaluate):
    slow = SlowHost(WORKLOAD)
    evaluation = evaluate(slow)
    assert (evaluation.outcome, evaluation.reason) == ("ok", "")
    assert times_asked(slow, "accounts") == 1
    assert evaluation.jobs.num_rows == 4


@pytest.mark.parametrize(("what", "times"), [("accounts", 10.0), ("fetch", 15.0)])
def test_a_host_that_slows_down_tenfold_in_mid_collection_gives_up_what_was_measured(
    evaluate, what, times
):
    """The accounts take 66 s then, or files 75 s, and a question has 60 at first."""
    slow = SlowHost(WORKLOAD, slows_at=what, slows=times)
    evaluation = evaluate(slow)
    assert (evaluation.outcome, evaluation.reason) == ("ok", "")
    assert times_asked(slow, "accounts") + times_asked(slow, "fetch") > 3  # of two nodes
    assert evaluation.jobs.num_rows == 4
    assert evaluation.jobs.column("native_state").to_pylist() == ["COMPLETED"] * 4


@pytest.mark.parametrize(
    "lost", [("head", "fake"), ("head", "accounts"), ("n1", "fetch"), ("head", "pending")]
)
def test_a_connection_that_breaks_is_made_anew_and_what_was_measured_is_kept(evaluate, lost):
    slow = SlowHost(WORKLOAD, lost=[lost, lost])
    evaluation = evaluate(slow)
    assert (evaluation.outcome, evaluation.reason) == ("ok", "")
    assert lost[0] in slow.renewed


def test_a_workload_goes_on_while_its_head_answers_late(evaluate):
    slow = SlowHost(WORKLOAD, slows_at="pending", slows=70.0)
    evaluation = evaluate(slow)
    assert evaluation.reason.startswith("phase 'collecting' of fake took longer than 180 s")
    assert times_asked(slow, "pending") > 1 and times_asked(slow, "accounts") >= 1


def test_a_trial_fails_only_at_the_deadline_of_its_collection_which_names_the_phase(evaluate):
    slow = SlowHost(WORKLOAD, slows_at="accounts", slows=1000.0)
    evaluation = evaluate(slow)
    assert evaluation.outcome == "infrastructure_failed" and evaluation.retryable
    assert evaluation.reason.startswith(
        "phase 'collecting' of fake took longer than 180 s "
        "(limit 180 s x 1.0 for this host's speed)\nhead: `accounts` didn't end within"
    )
    first, *_, last = [when for _, what, when in slow.asked if what == "accounts"]
    assert last - first < 180


def test_accounts_that_cannot_be_read_are_the_schedulers_fault_at_once(evaluate):
    class Garbled(AccountingScheduler):
        def parse_accounting(self, text):
            raise SchedulerError("can't read it")

    slow = SlowHost(WORKLOAD)
    evaluation = evaluate(slow, scheduler=Garbled())
    assert (evaluation.outcome, evaluation.reason) == ("scheduler_failed", "can't read it")
    assert times_asked(slow, "accounts") == 1


@pytest.mark.parametrize("when", ["collecting", "running"])
def test_the_next_clusters_nodes_stand_still_until_the_results_are_collected(evaluate, when):
    slow = SlowHost(WORKLOAD, slows_at="accounts", slows=10.0)
    host = Watched(slow)
    assert evaluate(slow, prefetch=when, host=host).outcome == "ok"
    ((_, asked),) = [one for one in host.resumed if one[0].startswith("test-next-")]
    last = max(place for place, one in enumerate(slow.asked) if one[1] in ("accounts", "fetch"))
    assert asked > last


def test_a_slow_head_is_asked_less_often_what_is_pending_and_its_daemons_are_looked_after(evaluate):
    """Asking takes at most a fifth of the time."""
    for slows in (1.0, 6.0):
        slow = SlowHost(WORKLOAD, slows_at="pending", slows=slows)
        assert evaluate(slow).outcome == "ok"
        asked, looked = (
            [when for node, what, when in slow.asked if node == "head" and what == one]
            for one in ("pending", "healthy")
        )
        pauses = [after - before for before, after in pairwise(asked)]
        assert min(pauses) >= 5 * slows * slow.ANSWERS_S["pending"] - 0.2, slows
    assert max(after - before for before, after in pairwise([asked[0], *looked])) < 25


def test_what_goes_on_for_long_is_said_with_what_it_waits_for(evaluate, caplog):
    slow = SlowHost(WORKLOAD, slows_at="accounts", slows=10.0)
    with caplog.at_level(logging.DEBUG):
        evaluate(slow)
    said = [record.getMessage() for record in caplog.records]
    assert "collected: fetching records and logs of all nodes, for 15 s" in said
    assert any("asked again, for" in text and "`accounts` didn't end" in text for text in said)


def test_errors_of_questions_travel():
    import pickle

    assert pickle.loads(pickle.dumps(RemoteCommandFailed("late"))).retryable
