"""Priorities by many factors, worked out by hand."""

import numpy as np
import pytest

from campaign.core.cluster import Account, ClusterModel, NodeGroup, Partition, Qos, User
from campaign.simulation.fair_share import shares_of
from campaign.simulation.multifactor import (
    NOT_YET,
    enter,
    factors_of,
    leave,
    recalculate,
)
from campaign.simulation.people import Ownership, Sizes, people_of
from schedulers.policy import FairShare, Multifactor

NS = 1_000_000_000
MODEL = ClusterModel(
    groups=(NodeGroup("small", 6, 4), NodeGroup("large", 4, 19)),  # 10 nodes, 100 slots
    partitions=(Partition("day", priority_factor=5), Partition("night", priority_factor=20)),
    accounts=(Account("a"), Account("b")),
    users=(User("ada", 1, ("a",)), User("bob", 2, ("b",)), User("cid", 3, ("a",))),
    qos=(Qos("high", 40, usage_factor=2.0), Qos("low", 10)),
    own_users=True,
)
ADA, BOB = 3, 6


class Queue:
    """Jobs of (association, partition, quality of service, slots, nodes, limit), and their
    priorities."""

    def __init__(self, wanted, *jobs, submitted_s=None):
        columns = [np.array(column) for column in zip(*jobs, strict=True)]
        owners = Ownership(*(columns[place].astype(np.int32) for place in (0, 2, 1)))
        people = people_of(MODEL)
        submitted = np.array(submitted_s or [0] * len(jobs), np.int64) * NS
        self.shares = shares_of(people, wanted.fair_share)
        self.factors = factors_of(
            wanted,
            MODEL,
            people,
            owners,
            Sizes(*columns[3:], 0 * columns[3], 0 * columns[3]),
            submitted,
        )
        self.active = np.arange(len(jobs))
        self.begun = np.full(len(jobs), -1)

    @property
    def priorities(self):
        return self.factors.priority.tolist()

    def enter(self, job, now_s):
        enter(self.factors, *self.shares, job, now_s * NS)

    def recalculate(self, now_s):
        recalculate(
            self.factors, *self.shares, self.active, self.active.size, self.begun, now_s * NS
        )

    def leave(self, job, now_s):
        leave(self.factors, *self.shares, job, self.begun, now_s * NS)
        self.active = self.active[self.active != job]


JOB = (ADA, 0, 0, 10, 2, 60)


def first(wanted, *job):
    queue = Queue(wanted, job or JOB)
    queue.enter(0, 0)
    return queue.priorities[0]


def test_factors_of_partition_and_quality_are_against_the_highest():
    assert first(Multifactor(partition=1000), ADA, 0, 0, 1, 1, 1) == 250
    assert first(Multifactor(partition=1000), ADA, 1, 0, 1, 1, 1) == 1000
    assert first(Multifactor(qos=1000), ADA, 0, 1, 1, 1, 1) == 1000
    assert first(Multifactor(qos=1000), ADA, 0, 2, 1, 1, 1) == 250
    assert first(Multifactor(qos=10, plain_qos=True), ADA, 0, 2, 1, 1, 1) == 100
    assert first(Multifactor(partition=10, plain_partition=True), ADA, 0, 2, 1, 1, 1) == 50


def test_a_quality_that_nobody_named_has_no_rank():
    assert first(Multifactor(qos=1000)) == 1


def test_size_is_the_mean_of_the_shares_of_nodes_and_slots():
    assert first(Multifactor(size=1000)) == 150  # 2 of 10 nodes, 10 of 100 slots
    assert first(Multifactor(size=1000, favor_small=True)) == 850


def test_size_by_time_is_the_share_of_slots_by_minute():
    # Two nodes are worth 20 slots.
    assert first(Multifactor(size=60_000, size_by_time=True)) == 200
    assert first(Multifactor(size=60_000, size_by_time=True), ADA, 0, 0, 30, 2, 60) == 300
    assert first(Multifactor(size=60_000, size_by_time=True, favor_small=True)) == 59_800


def test_priorities_are_cut_to_whole_numbers_and_never_zero():
    assert first(Multifactor()) == 1
    assert first(Multifactor(size=1, partition=3.4)) == 1  # 0.15 + 0.85
    assert first(Multifactor(partition=1e10, qos=1e10), ADA, 1, 1, 1, 1, 1) == 2**32 - 1


def test_age_counts_at_each_recalculation_up_to_its_maximum():
    queue = Queue(Multifactor(age=1000, max_age_s=600), JOB, JOB, submitted_s=[30, 90])
    queue.enter(0, 30)
    assert queue.priorities[0] == 1
    queue.recalculate(60)
    queue.enter(1, 90)
    assert queue.priorities == [50, 1]
    queue.recalculate(120)
    assert queue.priorities == [150, 50]
    queue.recalculate(660)
    assert queue.priorities == [1000, 950]


def test_who_is_not_eligible_yet_does_not_age():
    queue = Queue(Multifactor(age=1000, max_age_s=600), JOB, JOB)
    queue.factors.eligible[1] = NOT_YET
    queue.recalculate(60)
    assert queue.priorities == [100, 1]
    queue.factors.eligible[1] = 90 * NS
    queue.recalculate(120)
    assert queue.priorities == [200, 50]


# Of four users, ada alone had anything. Accounts stood at nothing when that was counted:
# classic: 2 ** -(1/2 / (1/6)); oblivious: 2 ** -(1 / (1/6)).
@pytest.mark.parametrize(("kind", "expected"), [("tree", 300), ("classic", 150), ("oblivious", 18)])
def test_use_of_running_jobs_lowers_their_users_others(kind, expected):
    wanted = Multifactor(fair_share=FairShare(1200, kind=kind, half_life_s=0))
    bob = (BOB, *JOB[1:])
    queue = Queue(wanted, JOB, bob, JOB, bob)
    for job in range(4):
        queue.enter(job, 0)
    assert len(set(queue.priorities)) == 1
    queue.begun[0] = 10 * NS
    queue.recalculate(60)
    assert queue.shares[0].usage[ADA] == 500
    assert queue.priorities[2] == expected
    assert queue.priorities[3] == 1200
    queue.leave(0, 100)
    assert queue.shares[0].usage[ADA] == 900
    queue.recalculate(120)
    assert queue.shares[0].usage[[0, ADA, BOB]].tolist() == [900, 900, 0]


def test_quality_of_service_says_what_use_counts():
    wanted = Multifactor(fair_share=FairShare(1000, half_life_s=0))
    queue = Queue(wanted, (ADA, 0, 1, 10, 2, 60))
    queue.begun[0] = 0
    queue.recalculate(60)
    assert queue.shares[0].usage[ADA] == 1200


def test_classic_use_of_jobs_counts_in_their_order():
    """A waiting job's user is looked at when use of later jobs isn't counted yet."""
    wanted = Multifactor(fair_share=FairShare(1000, kind="classic", half_life_s=0))
    queue = Queue(wanted, JOB, JOB)
    queue.begun[1] = 0
    queue.recalculate(60)
    assert queue.priorities[0] == 1000
    queue.recalculate(120)
    assert queue.priorities[0] == 15  # 2 ** -(1 / (1/6))


def test_rising_priorities_never_fall():
    wanted = Multifactor(rising=True, fair_share=FairShare(1000, half_life_s=0))
    queue = Queue(wanted, JOB, JOB)
    queue.enter(1, 0)
    queue.begun[0] = 0
    queue.recalculate(60)
    assert queue.priorities[1] == 1000


def test_nobody_counts_use_without_a_weight():
    queue = Queue(Multifactor(), JOB)
    queue.begun[0] = 0
    queue.recalculate(60)
    queue.leave(0, 70)
    assert queue.shares[0].usage.sum() == 0


def test_without_accounts_no_age_no_share_and_no_quality_counts():
    wanted = Multifactor(age=1, qos=2, size=3, partition=4, fair_share=FairShare(5))
    assert wanted.without_accounts == Multifactor(size=3, partition=4)
