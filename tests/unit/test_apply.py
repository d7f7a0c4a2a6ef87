"""Applying a plan to nodes that behave: files, commands, units, probes, and what is said when one never comes true."""

import asyncio
import re
import shlex
import time

import pytest

from actors.apply import BootstrapFailed, apply_plan, script_of
from actors.remote import Output
from schedulers.base import BootstrapPlan, File, Probe, Stage, Step, Unit


class FakeNode:
    """A node of one dict of files and a shell that knows `touch`, `cat`, `false` and systemctl.

    A unit is active from `starts_after` looks at it on; `journal` lists what happened on all nodes, in order.
    """

    def __init__(self, node, journal, starts_after=0):
        self.node, self.journal, self.files = node, journal, {}
        self._units, self._starts_after = {}, starts_after

    async def put(self, files, *, timeout_s):
        for file in files:
            self.files[file.path] = file.content
            self.journal.append(f"{self.node} put {file.path}")

    async def run(self, command, *, timeout_s, stdin=None):
        await asyncio.sleep(0)
        if command[0] == "bash":
            return self._script(command[-1])
        return self._one(list(command[2:] if command[0] == "timeout" else command))

    def _script(self, script):
        for line in script.splitlines():
            done = self._one(shlex.split(line))
            if not done.ok:
                return done
        return Output(0, "", "")

    def _one(self, words):
        self.journal.append(f"{self.node} {' '.join(words)}")
        match words:
            case ["touch", path]:
                self.files[path] = b""
            case ["cat", path]:
                found = path in self.files
                return Output(0 if found else 1, self.files.get(path, b"").decode(), "" if found else f"{path}: none")
            case ["systemctl", "restart" | "reload", *units]:
                self._units |= dict.fromkeys(units, 0)
            case ["systemctl", "is-active", unit]:
                self._units[unit] += 1
                active = self._units[unit] > self._starts_after
                return Output(0 if active else 3, "active\n" if active else "activating\n", "")
            case ["systemctl", "status", *_, unit]:
                return Output(3, f"{unit}: slurmctld: error: bad line 7\n", "")
            case _:
                return Output(1, "", f"{words[0]}: refused")
        return Output(0, "", "")


UNIT = Unit("slurmd.service")


def probe(expect="active", deadline_s=5.0):
    return Probe("slurmd running", ("systemctl", "is-active", UNIT.name), expect, deadline_s, 0.001)


def apply(plan, nodes, seconds=20.0):
    told = []
    asyncio.run(apply_plan(plan, {n.node: n for n in nodes}, deadline=time.monotonic() + seconds, tell=told.append))
    return told


def failure(*arguments):
    """The one failure that applying ends with."""
    with pytest.raises(BaseExceptionGroup) as caught:
        apply(*arguments)
    (error,) = caught.value.exceptions
    assert isinstance(error, BootstrapFailed)
    return error


def test_files_commands_units_and_probes_in_this_order():
    journal = []
    node = FakeNode("n1", journal)
    step = Step((File("/etc/a", b"x"),), (("touch", "/b"),), (UNIT,), (probe(),))
    assert apply(BootstrapPlan((Stage("daemons", {"n1": step}),)), [node]) == ["daemons"]
    assert journal == [
        "n1 put /etc/a",
        "n1 touch /b",
        f"n1 systemctl restart {UNIT.name}",
        f"n1 systemctl is-active {UNIT.name}",
    ]
    assert node.files == {"/etc/a": b"x", "/b": b""}


def test_a_stage_begins_when_every_node_is_done_with_the_one_before():
    journal = []
    slow, fast = FakeNode("n1", journal, starts_after=5), FakeNode("n2", journal)
    first = Step(units=(UNIT,), probes=(probe(),))
    plan = BootstrapPlan(
        (Stage("one", {"n1": first, "n2": first}), Stage("two", {"n2": Step(commands=(("touch", "/done"),))}))
    )
    assert apply(plan, [slow, fast]) == ["one", "two"]
    assert journal[-1] == "n2 touch /done" and journal.count(f"n1 systemctl is-active {UNIT.name}") == 6


def test_nodes_of_a_stage_take_their_steps_together():
    journal = []
    nodes = [FakeNode(name, journal, starts_after=2) for name in ("n1", "n2")]
    apply(BootstrapPlan((Stage("one", dict.fromkeys(("n1", "n2"), Step(units=(UNIT,), probes=(probe(),)))),)), nodes)
    asked = [line.split()[0] for line in journal if "is-active" in line]
    assert asked == ["n1", "n2"] * 3


def test_a_probe_that_never_comes_true_is_told_with_evidence():
    node = FakeNode("n1", [], starts_after=10**9)
    plan = BootstrapPlan((Stage("one", {"n1": Step(units=(UNIT,), probes=(probe(deadline_s=0.02),))}),))
    error = failure(plan, [node])
    assert error.brief == "n1: slurmd running didn't come true within 0.02 s"
    assert "activating" in error.details and "bad line 7" in error.details


def test_a_probe_wants_the_whole_output():
    node = FakeNode("n1", [])
    plan = BootstrapPlan((Stage("one", {"n1": Step(units=(UNIT,), probes=(probe("act", 0.01),))}),))
    assert "didn't come true" in failure(plan, [node]).brief


def test_a_failing_command_ends_the_step_with_its_output():
    journal = []
    step = Step(commands=(("mkfs",), ("touch", "/never")), units=(UNIT,))
    error = failure(BootstrapPlan((Stage("one", {"n1": step}),)), [FakeNode("n1", journal)])
    assert error.brief == "n1: a bootstrap step failed"
    assert "status 1" in error.details and "mkfs: refused" in error.details and "bad line 7" in error.details
    assert not any("/never" in line for line in journal)


def test_a_deadline_that_has_passed_names_the_setting():
    error = failure(BootstrapPlan((Stage("one", {"n1": Step(commands=(("touch", "/x"),))}),)), [FakeNode("n1", [])], -1)
    assert "cluster.bootstrap_deadline_s" in error.brief


def test_a_probe_ends_with_the_deadline_of_the_whole():
    node = FakeNode("n1", [], starts_after=10**9)
    plan = BootstrapPlan((Stage("one", {"n1": Step(units=(UNIT,), probes=(probe(deadline_s=1000),))}),))
    assert "slurmd running" in failure(plan, [node], 0.05).brief


def test_applying_twice_leaves_the_same_files():
    node = FakeNode("n1", [])
    plan = BootstrapPlan((Stage("one", {"n1": Step((File("/a", b"1"),), (("touch", "/b"),), (UNIT,), (probe(),))}),))
    apply(plan, [node])
    before = dict(node.files)
    apply(plan, [node])
    assert node.files == before


def test_a_script_quotes_its_words_and_groups_its_units():
    step = Step(
        commands=(("echo", "a b; rm -rf /"), ("true",)),
        units=(Unit("a.service"), Unit("b.service", "reload"), Unit("c.service")),
    )
    assert script_of(step).splitlines() == [
        "echo 'a b; rm -rf /'",
        "true",
        "systemctl restart a.service c.service",
        "systemctl reload b.service",
    ]
    assert script_of(Step()) == "" and re.fullmatch("true", script_of(Step(commands=(("true",),))))
