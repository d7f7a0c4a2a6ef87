"""Metrics of classes of jobs against values worked out job by job."""

import random
import statistics

import pyarrow as pa
import pytest

from campaign.analysis.metrics import ClusterFacts, compute, definition_of
from campaign.analysis.metrics.classes import power_class
from campaign.core.jobs import JOBS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.core.metric_names import JobClass, MetricName, interval, matching
from campaign.workloads.traits import traits_of

CLUSTER = ClusterFacts(nodes=2, slots=4)
# number, width, wait, run, partition, qos, user
ROWS = [
    (11, 1, 0.0, 10.0, "cpu", "low", "ann"),
    (12, 2, 4.0, 10.0, "cpu", "high", "ann"),
    (13, 3, 8.0, 20.0, "gpu", "low", "bob"),
    (14, 4, 40.0, 20.0, "gpu", "high", None),
    (15, 8, 100.0, 40.0, None, "low", "bob"),
]


def trial(rows=ROWS, *, unfinished=()):
    """Return a workload, and the table of its jobs in another order, as a trial leaves it."""
    workload = Workload(
        "five",
        pa.table(
            {
                "job_id": [row[0] for row in rows],
                "arrival_s": [float(place) for place in range(len(rows))],
                "width": [row[1] for row in rows],
                "runtime_s": [row[3] for row in rows],
                "requested_s": [2 * row[3] for row in rows],
                "user": [0] * len(rows),
            }
        ).cast(WORKLOAD_SCHEMA),
        traits=traits_of(
            {
                "partition": [row[4] for row in rows],
                "qos": [row[5] for row in rows],
                "user_name": [row[6] for row in rows],
            }
        ),
    )
    jobs = []
    for place, (number, width, wait, run, *_) in enumerate(rows):
        ended = number not in unfinished
        times = (place, place, place + wait, place + wait + run)
        names = ("intended_ns", "submit_ns", "start_ns", "end_ns")
        jobs.append(
            {name: int(at * 1e9) for name, at in zip(names, times, strict=True)}
            | {"job_id": number, "width": width, "user": 0, "exit_code": 0}
            | ({} if ended else {"end_ns": None, "exit_code": None})
        )
    random.Random(1).shuffle(jobs)
    return workload, pa.Table.from_pylist(jobs, schema=JOBS_SCHEMA)


def found(*names, **changes):
    workload, jobs = trial(**changes)
    return compute(jobs, CLUSTER, {}, named=names, workload=workload)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wait_mean_s[partition=cpu]", 2.0),
        ("wait_mean_s[partition=gpu]", 24.0),
        ("wait_max_s[qos=low]", 100.0),
        ("wait_median_s[user=bob]", 54.0),
        ("wait_p95_s[qos=high]", 4 + 0.95 * 36),
        ("response_mean_s[width=>3]", (60 + 140) / 2),
        ("response_mean_s[width=>=3]", (28 + 60 + 140) / 3),
        ("wait_mean_s[width=<2]", 0.0),
        ("wait_mean_s[width=<=2]", 2.0),
        ("wait_mean_s[width=3]", 8.0),
        ("wait_mean_s[width=2-4]", 52 / 3),
        ("wait_mean_s[runtime_s=<=10]", 2.0),
        ("wait_mean_s[requested_s=>40]", 100.0),
        ("wait_mean_s[partition=gpu,qos=high]", 40.0),
        ("slowdown_mean[partition=cpu]", (1 + 1.4) / 2),
        ("wait_mean_s.worst[partition]", 24.0),
        ("wait_mean_s.worst[width]", 100.0),
        ("wait_mean_s[qos=low].worst[partition]", 8.0),
        ("jobs_completed[partition=cpu]", 2),
        ("jobs_completed.worst[user]", 2),
    ],
)
def test_a_class_has_the_value_of_its_own_jobs(name, expected):
    assert found(name).values[name] == pytest.approx(expected)


def test_a_star_is_a_metric_for_each_class_and_none_for_the_unknown():
    values = found("wait_mean_s[partition=*]", "wait_mean_s[width=*]").values
    by_class = {name: value for name, value in values.items() if "[" in name}
    assert by_class == {
        "wait_mean_s[partition=cpu]": 2.0,
        "wait_mean_s[partition=gpu]": 24.0,
        "wait_mean_s[width=1]": 0.0,
        "wait_mean_s[width=2]": 4.0,
        "wait_mean_s[width=3-4]": 24.0,
        "wait_mean_s[width=5-8]": 100.0,
    }


def test_a_star_with_another_class_is_over_the_jobs_of_both():
    values = found("wait_mean_s[qos=low,partition=*]").values
    assert {name for name in values if "[" in name} == {
        "wait_mean_s[qos=low,partition=cpu]",
        "wait_mean_s[qos=low,partition=gpu]",
    }


def test_jobs_that_never_finished_count_in_their_class():
    values = found(
        "jobs_unfinished[partition=gpu]", "jobs_unfinished[partition=cpu]", unfinished=[13]
    ).values
    assert values["jobs_unfinished[partition=gpu]"] == 1
    assert values["jobs_unfinished[partition=cpu]"] == 0


def test_the_worst_over_a_class_without_a_value_has_none():
    absent = found("wait_mean_s.worst[partition]", unfinished=[11, 12]).absent
    assert absent["wait_mean_s.worst[partition]"] == "partition=cpu: no job finished"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("wait_mean_s[partition=fat]", "no job has partition=fat; allowed: cpu, gpu"),
        ("wait_mean_s[width=>64]", "no job has width=>64; allowed: 1 to 8"),
        ("wait_mean_s[account=x]", "nothing is known of the account of its jobs"),
        ("wait_mean_s.worst[account]", "nothing is known of the account of its jobs"),
        ("wait_mean_s[gpus=*]", "nothing is known of the gpus of its jobs"),
    ],
)
def test_a_class_that_the_workload_lacks_has_no_value_but_a_reason(name, why):
    assert found(name).absent[name] == why


def test_without_the_workload_no_class_is_known():
    _, jobs = trial()
    name = "wait_mean_s[partition=cpu]"
    assert "without the workload" in compute(jobs, CLUSTER, {}, named=[name]).absent[name]


def test_users_without_names_are_told_by_their_numbers():
    workload, jobs = trial()
    numbered = workload.table.set_column(5, "user", pa.array([0, 3, 3, 4, 0], pa.int32()))
    bare = Workload("bare", numbered)
    values = compute(jobs, CLUSTER, {}, named=["wait_mean_s[user=*]"], workload=bare).values
    by_user = {name: value for name, value in values.items() if "[" in name}
    assert by_user == {"wait_mean_s[user=3]": 6.0, "wait_mean_s[user=4]": 40.0}


def test_many_jobs_by_class_agree_with_a_loop_over_them():
    draw = random.Random(5)
    rows = [
        (number, draw.randint(1, 100), draw.uniform(0, 50), 5.0, draw.choice("abcd"), "q", "u")
        for number in draw.sample(range(10_000), 700)
    ]
    workload, jobs = trial(rows)
    names = ["wait_mean_s[partition=*]", "wait_p95_s[width=*]", "wait_mean_s.worst[partition]"]
    values = compute(jobs, CLUSTER, {}, named=names, workload=workload).values
    means = {}
    for partition in "abcd":
        means[partition] = statistics.mean(row[2] for row in rows if row[4] == partition)
        assert values[f"wait_mean_s[partition={partition}]"] == pytest.approx(means[partition])
    assert values["wait_mean_s.worst[partition]"] == pytest.approx(max(means.values()))
    for low, high in ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128)):
        waits = sorted(row[2] for row in rows if low <= row[1] <= high)
        place = 0.95 * (len(waits) - 1)
        below = int(place)
        above = min(below + 1, len(waits) - 1)
        expected = waits[below] + (place - below) * (waits[above] - waits[below])
        text = str(low) if low == high else f"{low}-{high}"
        assert values[f"wait_p95_s[width={text}]"] == pytest.approx(expected)


def test_classes_of_sizes_are_powers_of_two_and_can_be_written_as_classes():
    assert [power_class(power) for power in range(6)] == ["0", "1", "2", "3-4", "5-8", "9-16"]
    assert interval("9-16") == (9, True, 16, True)


@pytest.mark.parametrize(
    "name",
    [
        "wait_mean_s",
        "wait_mean_s[width=>=64]",
        "wait_mean_s[partition=gpu,qos=high]",
        "wait_mean_s[qos=high].worst[partition]",
    ],
)
def test_a_name_is_written_as_it_was_read(name):
    assert str(MetricName.of(name)) == name


@pytest.mark.parametrize(
    "name", ["", "wait[", "wait[gpu]", "wait[=x]", "wait[a=b", "wait.best[a]", "a b", "wait[]"]
)
def test_what_is_no_name_of_a_metric_is_refused(name):
    with pytest.raises(ValueError, match=r"form|class"):
        MetricName.of(name)


def test_a_pattern_means_one_metric_for_each_class():
    names = ["w[p=a]", "w[p=b]", "w[q=a]", "v[p=a]", "w[p=a,q=b]", "w"]
    assert matching("w[p=*]", names) == ["w[p=a]", "w[p=b]"]
    assert matching("w", names) == ["w"]
    assert MetricName.of("w[p=*,q=b]").within("p", "a").classes == (
        JobClass("p", "a"),
        JobClass("q", "b"),
    )


def test_a_class_has_the_unit_of_its_metric_and_says_whose_it_is():
    defined = definition_of("wait_mean_s[qos=high].worst[partition]")
    assert defined.unit == "s" and defined.natural_direction == "minimize"
    assert defined.definition.endswith(
        "over the jobs of qos=high; the worst of the values by partition"
    )
