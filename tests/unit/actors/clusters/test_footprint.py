"""What a node's programs occupy of its memory, as /proc/meminfo tells it."""

from pathlib import Path

from actors.clusters.trial_facts import used_mib


def test_what_is_not_available_is_used() -> None:
    assert (
        used_mib("MemTotal:  2097152 kB\nMemFree: 5 kB\nMemAvailable:  1048576 kB\nBuffers: 0 kB\n")
        == 1024
    )


def test_this_machine_uses_some() -> None:
    assert used_mib(Path("/proc/meminfo").read_text(encoding="ascii")) > 10


def test_what_does_not_tell_is_empty() -> None:
    assert used_mib("MemTotal: 2097152 kB\n") is None
