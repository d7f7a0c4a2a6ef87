"""Applying a plan to a node of real files, a real shell and a tiny systemd: what is left, in which
order."""

import asyncio
import grp
import os
import time
from pathlib import Path

import pytest

from actors.bootstrap.apply import BootstrapFailed, apply_plan, script_of
from campaign.core.time_limits import TimeLimits
from schedulers.base import BootstrapPlan, File, Probe, Stage, Step, Unit
from tests.fakes.clock import RecordingClock
from tests.fakes.node import ME, LocalNode

UNIT = Unit("slurmd.service")


@pytest.fixture
def node(tmp_path):
    if grp.getgrgid(os.getgid()).gr_name != ME:
        pytest.skip("cannot run here: this user has no group of its own name; run it as root")
    return LocalNode(tmp_path)


def probe(expect="active", deadline_s=20.0, unit=UNIT):
    return Probe("slurmd running", ("systemctl", "is-active", unit.name), expect, deadline_s, 0.001)


def touch(path):
    """A command whose every run can be counted."""
    return ("bash", "-c", f"echo run >>{path}")


def apply(plan, *nodes, seconds=60.0):
    if isinstance(plan, Step):
        plan = BootstrapPlan((Stage("one", {node.node: plan for node in nodes}),))
    clock = RecordingClock()
    asyncio.run(
        apply_plan(
            plan, {n.node: n for n in nodes}, deadline=time.monotonic() + seconds, clock=clock
        )
    )
    return clock.details


def failure(*arguments, **options):
    """The one failure that applying ends with."""
    with pytest.raises(BaseExceptionGroup) as caught:
        apply(*arguments, **options)
    (error,) = caught.value.exceptions
    assert isinstance(error, BootstrapFailed)
    return error


def test_files_are_there_before_commands_and_commands_before_units(node):
    seen = node.path("seen")
    look = ("bash", "-c", f"cat '{node.path('etc/a b')}' >{seen}; ls {node.units} >>{seen}")
    apply(Step((node.file("etc/a b", b"hello\n", 0o640),), (look,), (UNIT,), (probe(),)), node)
    assert Path(seen).read_text() == "hello\n"
    assert Path(node.path("etc/a b")).stat().st_mode & 0o7777 == 0o640
    assert node.log == ["restart slurmd.service"]


def test_a_step_whose_probe_is_true_takes_two_round_trips(node):
    apply(Step((node.file("a"), node.file("b")), (("true",),), (UNIT,), (probe(),)), node)
    assert node.trips == 2


def test_applying_twice_changes_nothing(node):
    count = node.path("count")
    step = Step(
        (node.file("etc/a"), node.file("b", b"", 0o400)),
        (touch(count),),
        (UNIT, Unit("x.service")),
        (probe(),),
    )
    apply(step, node)
    before = node.state()
    apply(step, node)
    assert node.state() == before and Path(count).read_text() == "run\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"y"),
        lambda path: path.chmod(0o600),
        lambda path: path.unlink(),
        lambda path: (path.rename(path.with_name("moved")), path.symlink_to("moved")),
    ],
    ids=["content", "mode", "missing", "link"],
)
def test_what_differs_is_mended_and_nothing_else(node, spoil):
    step = Step((node.file("a"), node.file("b")), (touch(node.path("count")),), (UNIT,))
    apply(step, node)
    before = node.state()
    spoil(Path(node.path("a")))
    apply(step, node)
    after = node.state()
    mended = Path(node.path("a"))
    assert (mended.read_bytes(), mended.lstat().st_mode) == (b"x", 0o100644)
    assert after[0][Path(node.path("b"))] == before[0][Path(node.path("b"))], (
        "a file that was right was written"
    )
    assert after[1] != before[1], "the unit doesn't know its new file"
    assert Path(node.path("count")).read_text() == "run\nrun\n"


def test_a_unit_that_stopped_is_started_alone(node):
    other = Unit("munge.service")
    step = Step((node.file("a"),), (touch(node.path("count")),), (other, UNIT))
    apply(step, node)
    munge = (node.units / other.name).read_text()
    (node.units / UNIT.name).unlink()
    apply(step, node)
    assert node.log[-1] == f"start {UNIT.name}" and (node.units / other.name).read_text() == munge
    assert Path(node.path("count")).read_text() == "run\n"


def test_a_unit_to_reload_keeps_its_process(node):
    unit = Unit("web.service", "reload")
    apply(Step((node.file("a"),), units=(unit,)), node)
    pid = (node.units / unit.name).read_text()
    apply(Step((node.file("a", b"new"),), units=(unit,)), node)
    assert (node.units / unit.name).read_text() == pid and node.log == [f"reload {unit.name}"]


def test_commands_of_a_step_without_files_always_run(node):
    step = Step(commands=(touch(node.path("count")),), units=(UNIT,))
    apply(step, node)
    apply(step, node)
    assert Path(node.path("count")).read_text() == "run\nrun\n"
    assert node.log == [f"start {UNIT.name}"]


def test_files_larger_than_a_pipe_that_are_not_wanted_do_no_harm(node):
    step = Step((node.file("big", os.urandom(3_000_000)),))
    apply(step, node)
    before = node.state()
    apply(step, node)
    assert node.state() == before


def test_a_stage_begins_when_every_node_is_done_with_the_one_before(tmp_path, node):
    slow = Unit("slow.service")
    journal = tmp_path / "journal"
    first = Step(units=(slow,), probes=(probe(unit=slow),))
    note = Step(commands=(("bash", "-c", f"grep -c asked {node.units}/log >{journal}"),))
    plan = BootstrapPlan((Stage("one", {"n1": first}), Stage("two", {"n2": note})))
    assert apply(plan, node, LocalNode(tmp_path, "n2")) == ["one", "two"]
    assert journal.read_text() == "6\n"


def test_nodes_of_a_stage_take_their_steps_together(tmp_path, node):
    """Each waits for what the other writes; one after the other they would wait for ever."""
    pair = [node, LocalNode(tmp_path, "n2")]
    steps = {
        one.node: Step(
            commands=(("touch", one.path("here")),),
            probes=(Probe("other", ("ls", other.path("here")), ".+", 20, 0.01),),
        )
        for one, other in zip(pair, reversed(pair), strict=True)
    }
    apply(BootstrapPlan((Stage("one", steps),)), *pair)


def test_a_probe_that_never_comes_true_is_told_with_evidence(node):
    error = failure(Step(probes=(probe(deadline_s=0.02),), units=()), node)
    assert error.brief == "n1: slurmd running didn't come true within 0.02 s"
    assert "inactive" in error.details


def test_a_probe_wants_the_whole_output(node):
    assert (
        "didn't come true" in failure(Step(units=(UNIT,), probes=(probe("act", 0.01),)), node).brief
    )


def test_a_failing_command_ends_the_step_with_its_output_and_its_units_words(node):
    commands = (("ls", "/nonexistent"), ("touch", node.path("never")))
    error = failure(Step(commands=commands, units=(UNIT,)), node)
    assert error.brief == "n1: a bootstrap step failed"
    assert (
        "exit status: 2" in error.details
        and "/nonexistent" in error.details
        and "bad line 7" in error.details
    )
    assert node.state() == ({}, {})


def test_a_unit_that_does_not_start_is_told(node):
    error = failure(Step((node.file("a"),), units=(Unit("bad.service"),)), node)
    assert "Job for bad.service failed" in error.details and "bad.service: error" in error.details


def test_a_file_that_cannot_be_written_ends_the_step(node):
    Path(node.path("a")).mkdir()
    (Path(node.path("a")) / "b").touch()
    error = failure(Step((node.file("a"),), (touch(node.path("count")),)), node)
    assert "Cannot open" in error.details and not Path(node.path("count")).exists()


def test_a_deadline_that_has_passed_names_the_setting(node):
    assert (
        "cluster.bootstrap_deadline_s"
        in failure(Step(commands=(("true",),)), node, seconds=-1).resolution
    )


def test_a_probe_ends_with_the_deadline_of_the_whole(node):
    step = Step(probes=(Probe("slurmd running", ("false",), "", 1000, 0.01),))
    assert "slurmd running" in failure(step, node, seconds=0.3).brief


def test_a_script_quotes_its_words_and_groups_its_units():
    step = Step(
        commands=(("echo", "a b; rm -rf /"), ("true",)),
        units=(Unit("a.service"), Unit("b.service", "reload"), Unit("c.service")),
    )
    assert script_of(step).splitlines() == [
        "echo 'a b; rm -rf /'",
        "true",
        "systemctl start a.service b.service c.service",
    ]
    changed = script_of(Step((File("/a", b""),), step.commands, step.units)).splitlines()
    assert changed[-6:] == [
        "systemctl restart a.service c.service",
        "systemctl reload-or-restart b.service",
        "else",
        ":",
        "systemctl start a.service b.service c.service",
        "fi",
    ]
    assert script_of(Step()) == ""


def test_a_slow_host_stretches_the_deadline_of_a_probe(node):
    """The answer comes at the third try, long after what is stated for the reference machine."""
    count = node.path("count")
    third = ("bash", "-c", f"echo x >>{count}; sleep 0.1; test $(wc -l <{count}) = 3 && echo yes")
    step = Step(probes=(Probe("the third try", third, "yes", 0.01, 0.001),))
    plan = BootstrapPlan((Stage("one", {node.node: step}),))

    def apply_on(slowness):
        asyncio.run(
            apply_plan(
                plan,
                {node.node: node},
                deadline=time.monotonic() + 600,
                clock=RecordingClock(),
                limits=TimeLimits.on(slowness),
            )
        )

    with pytest.raises(BaseExceptionGroup) as caught:
        apply_on(1.0)
    assert "within 0.01 s" in str(caught.value.exceptions[0])
    Path(count).unlink()
    apply_on(30_000.0)
