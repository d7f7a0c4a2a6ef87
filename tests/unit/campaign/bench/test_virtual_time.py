"""The benchmark of virtual time: what a guest is to do, and what follows from what was seen."""

import json
import os
import signal
import subprocess
import time
from itertools import pairwise
from types import SimpleNamespace

import pyarrow.compute as pc
import pytest

from campaign import guest
from campaign.bench import virtual_load
from campaign.bench.virtual_load import (
    AGENT,
    Span,
    UsageSample,
    parse_usage,
    running,
    spans,
    submit_command,
    workload,
)
from campaign.bench.virtual_time import campaigns_of, check_queue
from campaign.bench.virtual_time_table import (
    GuestRound,
    Look,
    SpeedOfTime,
    TimeMeasurements,
    as_json,
    as_rows,
    as_text,
    too_slow,
)
from campaign.core.errors import BenchmarkError, StallError
from campaign.guest.task import GuestResult

SPAN = Span(10, 1000.0, 2000.0)


def test_a_guest_idles_first_and_then_works_on_ever_longer_queues():
    idle, *queued = spans()
    assert (idle.queue, [span.queue for span in queued]) == (0, [10, 100])
    for before, after in pairwise(spans()):
        assert before.end_s < after.begin_s < after.end_s


@pytest.mark.parametrize(("nodes", "slots"), [(16, 4), (20, 1), (256, 4), (3, 2)])
def test_some_jobs_take_all_nodes_for_as_long_as_is_measured_and_the_others_wait(nodes, slots):
    jobs = workload(nodes, slots).table
    first = jobs.slice(0, running(nodes))
    assert pc.sum(first.column("width")).as_py() == nodes * slots
    assert min(jobs.column("runtime_s").to_pylist()) >= 3600.0
    ends = pc.add(first.column("arrival_s"), first.column("runtime_s"))
    assert pc.min(ends).as_py() > spans()[-1].end_s
    widths = jobs.slice(len(first)).column("width").to_pylist()
    assert (
        len(widths) == 100
        and max(widths) == nodes * slots
        and min(widths) == max(1, nodes >> 5) * slots
    )


def test_each_queue_is_there_before_its_span_and_no_longer_one_before_the_next():
    arrivals = workload(16, 4).table.column("arrival_s").to_pylist()
    for span in spans():
        here = sum(arrival < span.begin_s for arrival in arrivals)
        assert here == (running(16) + span.queue if span.queue else 0)
        assert here == sum(arrival < span.end_s for arrival in arrivals)


def test_what_a_guest_notes_beside_its_submissions_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(guest, "FOLDER", str(tmp_path))
    monkeypatch.setattr(virtual_load, "SERVICES", str(tmp_path / "services"))
    monkeypatch.setattr(virtual_load, "USAGE_FILE", str(tmp_path / "usage"))
    monkeypatch.setattr(virtual_load, "SAMPLE_S", 0.05)
    for name, used in (("a.service", 1_500_000), ("system-b.slice", 250_000), (AGENT, 2_000_000)):
        place = tmp_path / "services" / name
        place.mkdir(parents=True)
        (place / "cpu.stat").write_text(f"usage_usec {used}\nuser_usec 0\n")
    (tmp_path / "submit-agent").write_text('touch "$1.submitted"; sleep 1000\n')
    monkeypatch.setattr(guest, "SCHEDULE_FILE", str(tmp_path / "schedule"))
    sampling = subprocess.Popen(submit_command(), start_new_session=True)
    try:
        until = time.monotonic() + 60
        while len(found := noted(tmp_path / "usage")) < 3 or not submitted(tmp_path):
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        # As the agent in the guest ends what is left of it.
        os.killpg(sampling.pid, signal.SIGKILL)
        sampling.wait()
    assert all((one.services_s, one.agent_s) == (1.75, 2.0) for one in found)
    assert found[0].virtual_s <= found[-1].virtual_s


def noted(path):
    # The last line may be half written.
    text = path.read_text() if path.exists() else ""
    return parse_usage(text[: text.rfind("\n") + 1])


def submitted(folder):
    return (folder / "schedule.submitted").exists()


@pytest.mark.parametrize(
    "line",
    ["1.0", "1.0\t0.5\ta.service\t12", f"1.0\t0.5\t{AGENT}\tx", f"1.0\t0.5\t{AGENT}"],
)
def test_torn_or_foreign_notes_are_refused(line):
    with pytest.raises(BenchmarkError, match="can't be read"):
        parse_usage(line)


def seen(looks, samples):
    return GuestRound(16, 1, 100.0, looks, samples, load=2.0)


def samples_each(step_s, count):
    return [
        UsageSample(step_s * n, busy_s=0.04 * step_s * n, services_s=3.0 * n, agent_s=1.0 * n)
        for n in range(count)
    ]


def test_the_speed_of_a_span_is_that_between_the_first_and_the_last_look_in_it():
    looks = [
        Look(500.0, 1.0),
        Look(1100.0, 10.0),
        Look(1700.0, 20.0),
        Look(2100.0, 30.0),
        Look(9e3, 99),
    ]
    found = seen(looks, samples_each(300.0, 20)).over(SPAN)
    assert (found.virtual_s, found.cpu_s, found.speed) == (1000.0, 20.0, 50.0)
    assert found.busy == pytest.approx(0.04)
    assert (found.services, found.agent) == (pytest.approx(0.01), pytest.approx(1 / 300))
    assert found.instructions_per_s == pytest.approx(0.04 * 50 * 1e9)


@pytest.mark.parametrize(
    ("looks", "samples"),
    [
        ([Look(1100.0, 1.0)], samples_each(300.0, 20)),
        ([Look(1100.0, 1.0), Look(1200.0, 1.0)], samples_each(300.0, 20)),
        ([Look(1100.0, 1.0), Look(1200.0, 2.0)], samples_each(300.0, 5)),
    ],
    ids=["one look", "no CPU time", "one sample"],
)
def test_a_span_of_which_too_little_was_seen_has_no_speed(looks, samples):
    with pytest.raises(BenchmarkError, match="16 nodes, 10 jobs"):
        seen(looks, samples).over(SPAN)


def speed_of(nodes, queue, round_number, speed):
    return SpeedOfTime(nodes, queue, round_number, 1000.0, 1000.0 / speed, 0.002, 0.001, 5e-4, 3.0)


@pytest.fixture
def measured():
    speeds = [speed_of(16, 0, number + 1, speed) for number, speed in enumerate((500, 125, 160))]
    speeds += [speed_of(16, 10, 1, 80), speed_of(64, 10, 1, 5)]
    return TimeMeasurements({"cpu": "2"}, speeds)


def test_a_case_is_too_slow_by_its_median_and_only_where_a_floor_is_set(measured):
    assert too_slow(measured) == [
        "16 nodes, idle: 160 virtual seconds for one of CPU time, at least 200 are wanted"
    ]


def test_table_json_and_rows_say_the_same(measured):
    lines = as_text(measured).splitlines()
    assert "cpu: 2" in lines and lines[-1] == too_slow(measured)[0]
    (idle,) = (line.split() for line in lines if line.split()[:2] == ["16", "idle"])
    assert " ".join(idle) == "16 idle 160.0 125.0 500.0 3 200 2.00 1.00 0.50 320"
    content = json.loads(as_json(measured))
    assert [case["speed"]["median"] for case in content["cases"]] == [160.0, 80.0, 5.0]
    assert content["too_slow"] == too_slow(measured)
    rows = as_rows(measured)
    assert rows.num_rows == 5 and rows.column("speed").to_pylist()[0] == pytest.approx(500.0)
    assert content["measurements"] == rows.to_pylist()


def test_a_number_of_nodes_that_is_given_is_the_only_one():
    assert list(campaigns_of([])) == [16, 64, 256]
    assert list(campaigns_of(["cluster.nodes=8"])) == [8]


class Bound:
    def parse_pending(self, text):
        return {word: "" if word.startswith("r") else "Resources" for word in text.split()}


SPEC = SimpleNamespace(bound=Bound())


def result(run, wait, reason="unfinished"):
    names = [*(f"r{n}" for n in range(run)), *(f"w{n}" for n in range(wait))]
    return GuestResult(1, reason, "in short", pending=" ".join(names))


def test_a_guest_with_the_queue_that_was_meant_is_taken():
    check_queue(result(2, 100), SPEC, 16)


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        (result(1, 100), BenchmarkError, "1 jobs ran and 100 waited; 2 should have run"),
        (result(2, 99), BenchmarkError, "2 jobs ran and 99 waited"),
        (result(0, 0, "ok"), BenchmarkError, "none should have ended"),
        (result(0, 3, "stalled"), StallError, "in short"),
    ],
)
def test_a_guest_that_did_something_else_is_no_measurement(told, kind, words):
    with pytest.raises(kind, match=words):
        check_queue(told, SPEC, 16)
