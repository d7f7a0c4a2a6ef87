"""What surrounds a measurement: stolen CPU time, and clocks that answer or don't."""

import asyncio
import time
from types import SimpleNamespace

import asyncssh
import psutil
import pytest

from actors.clusters.conditions import ClockReader, read_cpu, steal_between
from campaign.core.errors import InfrastructureError
from tests.fakes.virtual_time import VirtualTime

NAMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def times(*values):
    return dict(zip(NAMES, values, strict=True))


def test_steal_is_the_share_that_others_took():
    before = times(100, 0, 50, 1000, 5, 0, 1, 10)
    after = times(160, 0, 60, 1010, 5, 0, 1, 30)
    assert steal_between(before, after) == pytest.approx(0.2)
    assert steal_between(before, before) == 0.0


def test_cpu_times_are_the_kernels_and_a_guest_is_not_counted_twice(tmp_path, monkeypatch):
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    found = read_cpu()
    assert {name: round(value / found["user"]) for name, value in found.items()} == times(
        *range(1, 9)
    )


def test_this_machine_has_cpu_times():
    assert set(read_cpu()) == set(NAMES)


@pytest.mark.parametrize(("swift", "questions"), [(0, 8), (20, 24), (1000, 64)])
def test_a_busy_host_is_asked_for_the_time_until_one_answer_is_swift(monkeypatch, swift, questions):
    """Answers take 0.6 s, that number `swift` alone a hundredth of it."""
    virtual = VirtualTime(monkeypatch)
    asked = []

    async def answer():
        await asyncio.sleep(0.006 if len(asked) == swift else 0.6)
        asked.append(time.time())
        return f"{time.time():.6f}\n"

    shell = SimpleNamespace(
        stdin=SimpleNamespace(write=lambda text: None), stdout=SimpleNamespace(readline=answer)
    )
    found = virtual.run(ClockReader("n1", shell, 60.0).offset())
    assert len(asked) == questions
    assert (found.error_s < 0.1) == (swift < 64)


def test_a_clock_whose_connection_breaks_is_an_infrastructure_error():
    class Pipe:
        def write(self, text):
            raise asyncssh.ConnectionLost("gone")

    with pytest.raises(InfrastructureError, match="n1: its clock doesn't answer"):
        asyncio.run(ClockReader("n1", SimpleNamespace(stdin=Pipe()), 60.0).offset())
