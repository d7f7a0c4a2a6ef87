"""Whose jobs wait longer than at the baseline: users, partitions, sizes; and jobs of one trial."""

import numpy as np
import pyarrow as pa
import pytest

from campaign.analysis.front.affected import FEWEST_JOBS, PairedJobs, class_waits
from campaign.core.jobs import JOBS_SCHEMA, WORKLOAD_SCHEMA, Workload

COUNT = 40


def table(waits, order=None) -> pa.Table:
    """Jobs that are submitted a second apart, narrow ones first, half of them long."""
    rows = [
        {
            "job_id": job,
            "arrival_s": float(job),
            "width": 1 if job < COUNT // 2 else 8,
            "runtime_s": 60.0 if job % 2 else 3600.0,
            "requested_s": 3600.0,
            "user": 1 + job % 4,
            "submit_ns": job * 10**9,
            "start_ns": None if wait is None else int((job + wait) * 10**9),
        }
        for job, wait in enumerate(waits)
    ]
    return pa.Table.from_pylist([rows[job] for job in order or range(len(rows))], JOBS_SCHEMA)


def workload_of(jobs: pa.Table) -> Workload:
    names = pa.array(["short" if job % 2 else "long" for job in range(COUNT)])
    traits = pa.table({"partition": names.dictionary_encode()})
    return Workload("test", jobs.select(WORKLOAD_SCHEMA.names), traits=traits)


def test_wide_jobs_that_wait_longer_are_named_first():
    before = table([10.0] * COUNT)
    after = table([5.0] * (COUNT // 2) + [30.0] * (COUNT // 2))
    found = class_waits([PairedJobs(after, before)])
    assert [one.field for one in found] == ["size"] * 4
    assert {one.name for one in found[:2]} == {"8 slots, 60 s", "8 slots, 3600 s"}
    assert found[0].jobs == COUNT // 4
    assert (found[0].before_s, found[0].after_s) == (10, 30)
    assert (found[0].longer_s, found[0].percent) == (20, 200)
    assert found[-1].percent == -50


def test_users_and_partitions_come_from_the_workload():
    before = table([10.0] * COUNT)
    after = table([40.0 if job % 4 == 2 else 10.0 for job in range(COUNT)])
    found = class_waits([PairedJobs(after, before, workload_of(before))])
    by = {(one.field, one.name): one for one in found}
    assert by["user", "3"].longer_s == 30
    assert by["user", "1"].longer_s == 0
    assert by["partition", "long"].after_s == pytest.approx(25)
    assert by["partition", "short"].percent == 0


def test_jobs_are_matched_by_their_numbers_and_those_of_one_trial_left_out():
    before = table([10.0] * (COUNT - 1) + [None])
    order = np.random.default_rng(0).permutation(COUNT).tolist()
    after = table([None, *[20.0] * (COUNT // 2 - 1), *[40.0] * (COUNT // 2)], order)
    found = class_waits([PairedJobs(after, before)])
    assert sum(one.jobs for one in found) == COUNT - 2
    waits = {one.name: (one.before_s, one.after_s) for one in found}
    assert waits["1 slots, 60 s"] == waits["1 slots, 3600 s"] == (10, 20)
    assert waits["8 slots, 60 s"] == waits["8 slots, 3600 s"] == (10, 40)


def test_a_wait_of_nothing_has_no_per_cent_and_small_classes_are_left_out():
    before = table([0.0] * COUNT)
    after = table([1.0] * COUNT)
    assert class_waits([PairedJobs(after, before)])[0].percent == float("inf")
    few = FEWEST_JOBS - 1
    assert class_waits([PairedJobs(after.slice(0, few), before.slice(0, few))]) == []
    assert class_waits([PairedJobs(after.slice(0, 0), before.slice(0, 0))]) == []


def test_a_class_that_all_jobs_are_of_says_nothing():
    before = table([10.0] * COUNT)
    jobs = before.set_column(
        before.schema.get_field_index("user"), "user", pa.array([7] * COUNT, pa.int32())
    )
    workload = Workload("test", jobs.select(WORKLOAD_SCHEMA.names))
    found = class_waits([PairedJobs(jobs, jobs, workload)])
    assert {one.field for one in found} == {"size"}


def paired(*instances):
    """Pairs of tables by what narrow and wide jobs of an instance wait longer than its baseline."""
    pairs = []
    for number, (narrow, wide) in enumerate(instances):
        waits = [10.0 + 7 * number] * COUNT
        more = [narrow] * (COUNT // 2) + [wide] * (COUNT // 2)
        before = table(waits)
        after = table([wait + each for wait, each in zip(waits, more, strict=True)])
        pairs.append(PairedJobs(after, before, workload_of(before)))
    return pairs


def test_over_instances_a_loss_has_an_interval_and_one_by_chance_is_not_certain():
    pairs = paired((9, 30), (-8, 33), (9, 28), (-7, 31), (8, 34))
    found = {(one.field, one.name): one for one in class_waits(pairs)}
    wide = found["size", "8 slots, 60 s"]
    assert wide.jobs == 5 * COUNT // 4
    assert wide.longer_s == pytest.approx(31.2)
    assert 28 <= wide.low_s < 31.2 < wide.high_s <= 34
    narrow = found["size", "1 slots, 60 s"]
    assert narrow.longer_s > 0 > narrow.low_s
    # A class has its jobs of all instances under one name.
    assert found["partition", "long"].jobs == 5 * COUNT // 2
    assert found["user", "1"].jobs == 5 * COUNT // 4


def test_a_class_weighs_by_its_jobs_and_few_instances_have_no_interval():
    first, second = paired((0, 10), (0, 40))
    shorter = PairedJobs(second.chosen.slice(0, 30), second.baseline, second.workload)
    found = {one.name: one for one in class_waits([first, shorter]) if one.field == "size"}
    assert found["8 slots, 60 s"].longer_s == pytest.approx((10 * 10 + 5 * 40) / 15)
    assert np.isnan(found["8 slots, 60 s"].low_s)
