"""The share error against values by hand, and against progressive filling moment by moment."""

import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from campaign.analysis.metrics import ClusterFacts, compute, shares
from campaign.analysis.metrics.shares import AccountJobs, fair_division, use_while_waiting
from campaign.core.jobs import JOBS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.schema.cluster import AccountSettings
from campaign.workloads.traits import traits_of


def use(jobs, promised):
    """Return what accounts had and were owed, of jobs (account, width, submit, start, end)."""
    columns = np.array(jobs, dtype=np.float64).T
    return use_while_waiting(AccountJobs(*columns), np.array(promised, dtype=np.float64))


def flood(order, run=10.0):
    """Return jobs of one slot each, all there at 0, that run one after the other in `order`."""
    return [(account, 1, 0, place * run, (place + 1) * run) for place, account in enumerate(order)]


def test_jobs_in_the_order_of_the_shares_have_little_error():
    found = use(flood([1, 0, 1, 1] * 5), [1, 3])
    # Nobody waits from 190 s on, and account 0 asks for nothing from 180 s on.
    assert found.had.tolist() == [50, 140]
    assert found.owed == pytest.approx([180 / 4, 180 * 3 / 4 + 10])
    assert found.error == pytest.approx(5 / 190)


def test_equal_use_of_unequal_shares_is_wrong_by_the_difference():
    # Wide jobs of both wait all the time: 50 s of 100 s for who is owed 25 s.
    waiting = [(0, 100, 0, 2000, 2001), (1, 100, 0, 2001, 2002)]
    found = use([*flood([0, 1] * 5), *waiting], [1, 3])
    # And the second of them waits for one second while the first has all 100 slots.
    assert found.had.tolist() == [50 + 100, 50]
    assert found.owed == pytest.approx([25 + 25, 75 + 75])
    assert found.error == pytest.approx(100 / 200)


def test_an_account_that_asks_for_less_than_its_share_is_owed_no_more():
    # Account 1 has three quarters promised and one job of one slot; the others run beside it.
    jobs = [(1, 1, 0, 0, 100), (0, 3, 0, 0, 100), (0, 4, 0, 100, 200)]
    found = use(jobs, [1, 3])
    assert found.owed.tolist() == found.had.tolist() == [300, 100]
    assert found.error == 0


def test_nothing_is_wrong_where_nobody_waits():
    assert use([(0, 4, 0, 0, 10), (1, 1, 0, 0, 10)], [1, 1]).error == 0


def test_accounts_without_a_share_get_what_the_others_leave():
    given = fair_division(np.array([10.0]), np.array([[4.0, 20.0, 9.0]]), np.array([1.0, 0.0, 0.0]))
    assert given.tolist() == [[4.0, 3.0, 3.0]]


def filled(amount, wants, weights):
    """Raise all who still want something, by their weights, until the amount is gone."""
    given = [0.0] * len(wants)
    left = amount
    while left > 1e-12:
        active = [i for i, want in enumerate(wants) if want - given[i] > 1e-9]
        if not active:
            break
        weight = sum(weights[i] for i in active)
        step = min([left / weight, *((wants[i] - given[i]) / weights[i] for i in active)])
        for i in active:
            given[i] += step * weights[i]
        left -= step * weight
    return given


def by_moments(jobs, promised):
    """Return had and owed by looking at every job between any two times."""
    times = sorted({time for job in jobs for time in job[2:]})
    had = [0.0] * len(promised)
    owed = [0.0] * len(promised)
    for begin, until in pairwise(times):
        asked = [0] * len(promised)
        held = [0] * len(promised)
        for account, width, submit, start, end in jobs:
            asked[account] += width * (submit <= begin < end)
            held[account] += width * (start <= begin < end)
        if sum(asked) > sum(held):
            fair = filled(sum(held), asked, promised)
            for i in range(len(promised)):
                had[i] += held[i] * (until - begin)
                owed[i] += fair[i] * (until - begin)
    return had, owed


@pytest.mark.parametrize("block", [1, 7, 2**20])
def test_whole_columns_give_what_looking_at_every_moment_gives(monkeypatch, block):
    monkeypatch.setattr(shares, "BLOCK", block)
    for seed in range(60):
        draw = random.Random(seed)
        promised = [draw.choice([1, 2, 3, 0.5, 7]) for _ in range(draw.randint(2, 5))]
        jobs = []
        for _ in range(draw.randint(1, 30)):
            submit = draw.randint(0, 30)
            start = submit + draw.choice([0, 0, draw.randint(0, 20)])
            account = draw.randrange(len(promised))
            jobs.append((account, draw.randint(1, 8), submit, start, start + draw.randint(1, 15)))
        had, owed = by_moments(jobs, promised)
        found = use(jobs, promised)
        assert found.had == pytest.approx(had) and found.owed == pytest.approx(owed)


def test_shares_of_accounts_in_accounts_are_parts_of_their_parents():
    accounts = {
        "physics": AccountSettings(shares=3),
        "bio": AccountSettings(shares=1),
        "lab": AccountSettings(shares=1, parent="physics"),
        "theory": AccountSettings(shares=2, parent="physics"),
    }
    assert shares.promised_shares(accounts) == pytest.approx(
        {"bio": 1 / 4, "lab": 3 / 4 / 3, "theory": 3 / 4 * 2 / 3}
    )


def error_of(accounts, promised):
    """Return the share error of equal jobs that ran one after the other, by the jobs' accounts."""
    rows = flood(accounts)
    number = list(range(len(rows)))
    workload = Workload(
        "flood",
        pa.table(
            {
                "job_id": number,
                "arrival_s": [0.0] * len(rows),
                "width": [1] * len(rows),
                "runtime_s": [10.0] * len(rows),
                "requested_s": [10.0] * len(rows),
                "user": [1] * len(rows),
            }
        ).cast(WORKLOAD_SCHEMA),
        traits=traits_of({"account": accounts}),
    )
    jobs = [
        {"job_id": job, "width": 1, "user": 1, "exit_code": 0, "submit_ns": 0, "intended_ns": 0}
        | {"start_ns": int(start * 1e9), "end_ns": int(end * 1e9)}
        for job, (*_, start, end) in zip(number, rows, strict=True)
    ]
    table = pa.Table.from_pylist(jobs, schema=JOBS_SCHEMA)
    computed = compute(table, ClusterFacts(1, 1, shares=promised), {}, workload=workload)
    return computed.values.get("share_error", computed.absent.get("share_error"))


def test_the_metric_takes_accounts_by_name_and_leaves_others_out():
    assert error_of(["a"] * 4 + ["b"] * 4, {"a": 1, "b": 1}) == pytest.approx(
        # a had 40 s and b 30 s before the last one; while a waits both are owed half, then b all.
        abs(40 - 20) / 70
    )
    alone = error_of(["a", "x", "a"], {"a": 1, "b": 1})
    assert "fewer than two of the accounts" in alone
    assert "no shares are promised" in error_of(["a", "b"], {})
