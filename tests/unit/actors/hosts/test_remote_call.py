"""Calls of actors without Ray: what the caller's log is about goes with them."""

import inspect
import json
import logging
from types import SimpleNamespace

import pytest

from actors.hosts.host_actor import HostActor
from actors.hosts.remote_call import RemoteActor, in_callers_context
from actors.hosts.slot import NodeBoot, NodeShape, NodeState, Slot
from actors.hypervisor.capacity import Resources
from actors.hypervisor.node_spec import Multicast
from campaign.core import log
from campaign.core.errors import InfrastructureError

LOGGER = logging.getLogger("actors.test")
SLOT = Slot("demo-t3", (2200, 2201), Multicast("239.0.0.1", 1), None, Resources(), NodeShape(1, 1))


class Handle:
    """An actor as Ray hands it out: calls are checked by the signature, and run in no context."""

    def __init__(self, actor):
        self._actor = actor

    def __getattr__(self, name):
        method = getattr(self._actor, name)

        def remote(*args, **kwargs):
            innermost = inspect.unwrap(type(self._actor).__dict__[name])
            inspect.signature(innermost).bind(None, *args, **kwargs)
            token = log._context.set(None)
            try:
                return method(*args, **kwargs)
            finally:
                log._context.reset(token)

        return SimpleNamespace(remote=remote)


class Worker:
    """Logs what it is asked to do."""

    @in_callers_context
    def work(self, what, *, hard):
        LOGGER.debug("%s %s", what, hard)
        return what

    @in_callers_context
    def fail(self, error):
        raise error

    def quiet(self):
        LOGGER.debug("quiet")


@pytest.fixture
def records(tmp_path):
    """The records so far, each as a dictionary."""
    path = tmp_path / "log.jsonl"
    with log.to_file(path):
        yield lambda: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def worker():
    return RemoteActor(Handle(Worker()))


def test_the_callers_trial_and_phase_are_named_by_the_actor_but_not_its_host(worker, records):
    phase = ["ready"]
    callers = {"campaign": "demo", "trial": 3, "cluster": "demo-t3", "host": "bert"}
    with log.context(**callers, phase=lambda: phase[0]):
        assert worker.send(Worker.work, "this", hard=True) == "this"
        phase[0] = "workload"
        worker.send(Worker.work, "that", hard=False)
    worker.send(Worker.work, "nobody's", hard=False)
    first, second, third = records()
    about = {"campaign": "demo", "trial": 3, "cluster": "demo-t3"}
    assert about.items() <= first.items() and "host" not in first
    assert (first["phase"], second["phase"]) == ("ready", "workload")
    assert not third.keys() & set(log.FIELDS)


def test_a_method_that_takes_no_context_gets_none(worker, records):
    with log.context(trial=3):
        worker.send(Worker.quiet)
    assert "trial" not in records()[0]


def test_wrong_arguments_are_refused_before_they_are_sent(worker):
    with pytest.raises(TypeError):
        worker.send(Worker.work, "this")
    with pytest.raises(TypeError):
        worker.send(Worker.work, "this", hard=True, colour="red")


def test_errors_are_logged_unexpected_ones_with_where_they_arose(worker, records):
    with log.context(trial=3):
        for error in (InfrastructureError("no disk", "details"), ZeroDivisionError("oh")):
            with pytest.raises(type(error)):
                worker.send(Worker.fail, error)
    expected, unexpected = records()
    assert expected["message"] == "fail failed: no disk" and expected["level"] == "debug"
    assert unexpected["level"] == "error" and "ZeroDivisionError: oh" in unexpected["exception"]
    assert expected["trial"] == unexpected["trial"] == 3


class Nodes:
    """A host as far as its nodes go."""

    state = "running"

    def start(self, slot, boots):
        LOGGER.debug("started: %s", boots)

    def states(self, slot, names):
        return [NodeState(name, self.state, None, "console", "anna") for name in names]

    def release(self, slot):
        pass


@pytest.fixture
def host():
    actor = HostActor()
    actor._host = Nodes()
    actor._images = {"hash": "image"}
    return actor


def test_a_host_logs_what_it_does_for_which_trial_in_which_phase(host, records):
    image = SimpleNamespace(hash="hash")
    boots = [NodeBoot(name, image, ("a", "b"), {"key": b"PRIVATE"}) for name in ("head", "n1")]
    remote = RemoteActor(Handle(host))
    with log.context(campaign="demo", trial=3, phase="started", cluster="the trial's"):
        remote.send(HostActor.start, SLOT, boots)
        remote.send(HostActor.states, SLOT, ["head", "n1"])
        remote.send(HostActor.release, SLOT)
    said = records()
    assert [line["message"].partition(":")[0] for line in said] == ["started", "nodes"]
    about = {"campaign": "demo", "trial": 3, "phase": "started"}
    assert all(about.items() <= line.items() for line in said)
    assert [line["cluster"] for line in said] == ["the trial's", "demo-t3"]
    assert said[1]["message"] == "nodes: head running, n1 running"
    assert "PRIVATE" not in json.dumps(said)


def test_states_are_logged_when_they_or_the_phase_change_and_from_time_to_time(
    host, records, monkeypatch
):
    from actors.hosts import host_actor

    now = [1000.0]
    monkeypatch.setattr(host_actor.time, "monotonic", lambda: now[0])
    for _ in range(10):
        host.states(SLOT, ["head"])
        now[0] += 2.0
    assert len(records()) == 4  # at 0, 6, 12 and 18 s
    with log.context(phase="workload"):
        host.states(SLOT, ["head"])
    assert records()[-1]["phase"] == "workload"
    host._host.state = "crashed"
    host.states(SLOT, ["head"])
    assert records()[-1]["message"] == "nodes: head crashed"
