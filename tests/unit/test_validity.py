"""Each check of the validity gate: it passes a sound trial and catches the one thing it is there for."""

from typing import Any

import pyarrow as pa
import pytest

from campaign.guest.clocks import ClockOffset, NodeClock
from campaign.jobs import JOBS_SCHEMA
from campaign.model import ValiditySettings
from campaign.trials import Check
from campaign.validity import judge, reason, valid

S = 1_000_000_000


def job(
    number: int, start: float, end: float, width: int = 1, nodes: tuple[str, ...] = ("n1",), **changes: Any
) -> dict[str, Any]:
    row = {
        "job_id": number,
        "width": width,
        "nodes_requested": len(nodes),
        "nodes": list(nodes),
        "intended_ns": 0,
        "submit_ns": S // 10,
        "start_ns": int(start * S),
        "all_started_ns": int(start * S),
        "end_ns": int(end * S),
        "exit_code": 0,
        "native_state": "COMPLETED",
        "native_start_s": float(int(start)),
        "native_end_s": float(int(end)),
    }
    return row | changes


def clock(error_s: float) -> NodeClock:
    return NodeClock(ClockOffset(0, error_s, 0), ClockOffset(0, 0.0, 100))


def checks(*rows: dict[str, Any], **changes: Any) -> tuple[Check, ...]:
    facts: dict[str, Any] = {
        "slots": {"n1": 4, "n2": 4},
        "clocks": {"head": clock(0.01), "n1": clock(0.01), "n2": clock(0.01)},
        "steal": {"host": 0.01},
        "lost_nodes": [],
        "console_faults": [],
        "settings": ValiditySettings(max_native_gap_s=3),
        "resolution_s": 1.0,
    }
    return judge(pa.Table.from_pylist(list(rows), schema=JOBS_SCHEMA), **(facts | changes))


SOUND = (
    job(1, 1, 5, width=4),
    job(2, 5, 9, width=2),
    job(3, 5, 8, width=6, nodes=("n1", "n2")),
    job(4, 8.001, 9, width=4, nodes=("n2",)),
)


def test_a_sound_trial_is_valid() -> None:
    found = checks(*SOUND)
    assert valid(found), reason(found)
    assert reason(found) == ""


def test_a_trial_without_jobs_has_nothing_against_it() -> None:
    assert valid(checks())


@pytest.mark.parametrize(
    ("name", "rows", "facts"),
    [
        ("incomplete jobs", [job(1, 1, 2, exit_code=143)], {}),
        ("incomplete jobs", [job(1, 1, 2, start_ns=None, end_ns=None, exit_code=None, nodes_requested=1)], {}),
        ("jobs on other nodes than asked for", [job(1, 1, 2, nodes=("n1", "n1"))], {}),
        ("jobs on other nodes than asked for", [job(1, 1, 2, nodes=("elsewhere",))], {}),
        ("slots overbooked on a node", [job(1, 1, 5, width=3), job(2, 4, 6, width=2)], {}),
        ("slots overbooked on a node", [job(1, 1, 5, width=6, nodes=("n1", "n2")), job(2, 4, 6, width=3)], {}),
        ("unmeasured clocks", [], {"clocks": {"head": clock(0), "n1": clock(0)}}),
        ("clock error", [], {"clocks": {"n1": clock(0.26), "n2": clock(0)}}),
        ("submission lag", [job(1, 6, 7, submit_ns=6 * S)], {}),
        ("CPU steal", [], {"steal": {"a": 0.0, "b": 0.2}}),
        ("lost nodes", [], {"lost_nodes": ["n2"]}),
        ("console faults", [], {"console_faults": ["Kernel panic"]}),
        (
            "jobs missing in native accounting",
            [job(1, 1, 2, native_state=None, native_start_s=None, native_end_s=None)],
            {},
        ),
        ("gap to native accounting", [job(1, 10, 20, native_start_s=5.5)], {}),
        ("gap to native accounting", [job(1, 10, 20, native_end_s=25.0)], {}),
    ],
)
def test_one_fault_fails_one_check(name: str, rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    found = checks(*rows, **facts)
    assert [check.name for check in found if not check.ok] == [name]
    assert name in reason(found)


def test_a_job_on_too_few_nodes_is_incomplete_and_not_as_asked() -> None:
    failed = [check.name for check in checks(job(1, 1, 2, width=6, nodes_requested=2)) if not check.ok]
    assert failed == ["incomplete jobs", "jobs on other nodes than asked for", "slots overbooked on a node"]


def test_overlap_within_the_clock_error_is_no_overload() -> None:
    rows = job(1, 1, 5, width=4), job(2, 4.99, 6, width=4)
    assert valid(checks(*rows))
    assert not valid(checks(*rows, clocks={"n1": clock(0.001), "n2": clock(0.001)}))


def test_native_gap_allows_for_the_resolution() -> None:
    row = job(1, 10, 20, native_start_s=6.5)
    assert valid(checks(row))
    assert not valid(checks(row, resolution_s=0.0))
