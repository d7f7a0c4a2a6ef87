"""Limits of accounts, users and qualities of service: cases worked out by hand, and what is kept
whatever jobs come and go."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.cluster import (
    Account,
    ClusterModel,
    Partition,
    Qos,
    User,
)
from campaign.schema.cluster import JobLimits, SharedLimits
from campaign.simulation.limits import (
    NO_NODES,
    blocked_by,
    hold,
    in_words,
    limits_of,
    release,
    submit,
    submit_again,
    withdraw,
)
from campaign.simulation.people import NOBODY, Ownership, Sizes, people_of

checked = settings(deadline=None, max_examples=100)  # what runs first compiles
NODES = 8
DENIES = ("deny_on_limit",)


class Site:
    """Jobs {user, account, qos, partition, slots, nodes, gpus, memory, minutes} under limits."""

    def __init__(self, jobs, *, accounts=(), users=(), qos=(), partitions=()):
        names = dict.fromkeys([*(user.name for user in users), "u", "w"])
        plain = [User(name, 1, ("a",)) for name in names if name not in {u.name for u in users}]
        model = ClusterModel(
            accounts=(*accounts, *([] if any(a.name == "a" for a in accounts) else [Account("a")])),
            users=(*users, *plain),
            qos=qos,
            partitions=partitions,
        )
        people = people_of(model)
        places = {(one.account, one.user): at for at, one in enumerate(people.associations)}
        ranks = {one.name: at for at, one in enumerate(people.qos)}
        queues = {one.name: at for at, one in enumerate(partitions)}
        rows = [
            (
                places.get((job.get("account", "a"), job.get("user", "u")), NOBODY),
                ranks.get(job.get("qos", "normal"), NOBODY),
                queues.get(job.get("partition"), NOBODY),
            )
            for job in jobs
        ]
        self.limits = limits_of(
            model,
            people,
            Ownership(*np.array(rows, np.int32).T.copy()),
            Sizes(
                *(
                    np.array([job.get(name, default) for job in jobs], np.int64)
                    for name, default in (
                        ("slots", 1),
                        ("nodes", 1),
                        ("minutes", 60),
                        ("gpus", 0),
                        ("memory", 0),
                    )
                )
            ),
            NODES,
        )
        self.on = {}

    def submit(self, *jobs):
        return [self.words(submit(self.limits, job)) for job in jobs]

    def blocked(self, job, *nodes, count=NO_NODES):
        found = np.array(nodes, np.int64)
        return self.words(blocked_by(self.limits, job, found, 0, found.size or count))

    def start(self, job, *nodes):
        self.on[job] = np.array(nodes or (0,), np.int64)
        hold(self.limits, job, self.on[job], 0, self.on[job].size)

    def end(self, job):
        nodes = self.on.pop(job)
        release(self.limits, job, nodes, 0, nodes.size)
        withdraw(self.limits, job)

    @staticmethod
    def words(reason):
        return in_words(reason) if reason else ""


def of_qos(what, scope):
    return f"limit on {what} of {scope} of a quality of service"


def of_account(what, one="all jobs"):
    return f"limit on {what} of {one} of an account or a user in it"


def test_without_limits_nothing_is_held_back():
    site = Site([{}, {"user": "w", "slots": 10**6}])
    assert site.submit(0, 1) == ["", ""]
    site.start(0)
    assert site.blocked(1, 0) == ""


@pytest.mark.parametrize(
    ("limit", "what", "job"),
    [
        ({"max_jobs": 2}, "running jobs", {}),
        ({"max_slots": 8}, "slots", {"slots": 4}),
        ({"max_slots": 11}, "slots", {"slots": 4}),
        ({"max_gpus": 4}, "GPUs", {"gpus": 2}),
        ({"max_memory_mib": 2048}, "memory", {"memory": 1000}),
    ],
)
def test_what_an_account_has_in_all_holds_its_jobs_back_until_one_ends(limit, what, job):
    account = Account("a", in_all=SharedLimits(**limit))
    site = Site([job, job | {"user": "w"}, job], accounts=[account])
    assert site.submit(0, 1, 2) == ["", "", ""]
    for each in (0, 1):
        assert site.blocked(each) == ""
        site.start(each)
    assert site.blocked(2) == of_account(what)
    site.end(0)
    assert site.blocked(2) == ""


def test_who_wants_none_of_it_is_not_held_back():
    site = Site([{"gpus": 4}, {}], accounts=[Account("a", in_all=SharedLimits(max_gpus=4))])
    site.start(0)
    assert site.blocked(1) == ""


def test_limits_hold_at_each_level_of_the_tree():
    site = Site(
        [{"account": "b"}, {"account": "b"}, {}, {"account": "c", "user": "v"}],
        accounts=[
            Account("top", in_all=SharedLimits(max_jobs=2)),
            Account("a", parent="top"),
            Account("b", parent="top"),
            Account("c"),
        ],
        users=[
            User("u", 1, ("a", "b"), in_all=SharedLimits(max_jobs=1)),
            User("v", 1, ("c",)),
        ],
    )
    site.start(0)
    assert site.blocked(1) == of_account("running jobs")  # the user's, in this account
    assert site.blocked(2) == ""  # the same user, in another one
    site.start(2)
    site.end(0)
    site.start(1)
    assert site.blocked(0) == of_account("running jobs")
    assert site.blocked(3) == ""


def test_a_node_counts_once_however_many_jobs_are_on_it():
    site = Site([{"nodes": 2}] * 4, accounts=[Account("a", in_all=SharedLimits(max_nodes=3))])
    site.start(0, 0, 1)
    assert site.blocked(1, 2, 3) == of_account("nodes")
    assert site.blocked(1, 1, 2) == ""
    assert site.blocked(1) == of_account("nodes")  # no nodes were found for it
    assert site.blocked(1, count=0) == ""  # they may be those that are in use
    site.start(1, 1, 2)
    assert site.blocked(2, 2, 3) == of_account("nodes")
    assert site.blocked(2, 0, 2) == ""
    site.end(0)
    assert site.limits.used[0, 2] == 2
    assert site.blocked(2, 2, 3) == ""


@pytest.mark.parametrize(
    ("scope", "words", "mine", "others"),
    [
        ("in_all", "all jobs", True, True),
        ("per_account", "an account's jobs", True, False),
        ("per_user", "a user's jobs", True, False),
    ],
)
def test_a_quality_of_service_limits_all_an_account_or_a_user(scope, words, mine, others):
    high = Qos("high", **{scope: SharedLimits(max_jobs=1)})
    jobs = [{}, {}, {"user": "v", "account": "b"}]
    site = Site(
        [job | {"qos": "high"} for job in jobs] + [{}],
        accounts=[Account("b")],
        users=[User("v", 1, ("b",))],
        qos=[high],
    )
    site.start(0)
    assert bool(site.blocked(1)) == mine
    assert site.blocked(1) == of_qos("running jobs", words)
    assert bool(site.blocked(2)) == others
    assert site.blocked(3) == ""  # another quality of service


def test_an_accounts_users_share_its_part_and_a_users_accounts_his():
    jobs = [{"qos": "q"}, {"qos": "q", "user": "w"}, {"qos": "q", "account": "b"}]
    people = {"accounts": [Account("a"), Account("b")], "users": [User("u", 1, ("a", "b"))]}
    one = SharedLimits(max_jobs=1)
    by_account = Site(jobs, qos=[Qos("q", per_account=one)], **people)
    by_account.start(0)
    assert [bool(by_account.blocked(job)) for job in (1, 2)] == [True, False]
    by_user = Site(jobs, qos=[Qos("q", per_user=one)], **people)
    by_user.start(0)
    assert [bool(by_user.blocked(job)) for job in (1, 2)] == [False, True]


def test_limits_of_the_partition_go_before_those_of_the_job_and_these_before_the_accounts():
    def slots(most):
        return {"in_all": SharedLimits(max_slots=most)}

    site = Site(
        [
            {"slots": 20, "partition": "day", "qos": "q"},
            {"slots": 20, "partition": "night", "qos": "q"},
            {"slots": 20, "partition": "night"},
            {"slots": 30, "partition": "day", "qos": "q"},
        ],
        accounts=[Account("a", **slots(5))],
        qos=[Qos("q", **slots(10)), Qos("day", **slots(20))],
        partitions=[Partition("day", qos="day"), Partition("night")],
    )
    assert site.blocked(0) == ""
    assert site.blocked(1) == of_qos("slots", "all jobs")
    assert site.blocked(2) == of_account("slots")
    assert site.blocked(3) == of_qos("slots", "all jobs")


def test_kinds_of_limits_go_before_others_each_by_itself():
    qos = Qos("q", in_all=SharedLimits(max_jobs=10))
    account = Account("a", in_all=SharedLimits(max_jobs=0, max_slots=5))
    site = Site([{"qos": "q"}, {"qos": "q", "slots": 6}], accounts=[account], qos=[qos])
    assert site.blocked(0) == ""
    assert site.blocked(1) == of_account("slots")


def test_jobs_for_which_another_limit_holds_count_all_the_same():
    qos = Qos("q", in_all=SharedLimits(max_slots=100))
    account = Account("a", in_all=SharedLimits(max_slots=8))
    site = Site([{"qos": "q", "slots": 20}, {"slots": 1}], accounts=[account], qos=[qos])
    assert site.blocked(1) == ""
    assert site.blocked(0) == ""
    site.start(0)
    assert site.blocked(1) == of_account("slots")


def test_so_many_submitted_refuse_a_job():
    account = Account("a", in_all=SharedLimits(max_submitted=2))
    site = Site([{}, {}, {}, {}], accounts=[account])
    assert site.submit(0, 1, 2) == ["", "", of_account("submitted jobs")]
    site.start(0)
    assert site.submit(2) == [of_account("submitted jobs")]
    site.end(0)
    assert site.submit(2) == [""]
    site.start(2)
    site.end(2)
    submit_again(site.limits, 2)
    assert site.submit(3) == [of_account("submitted jobs")]


@pytest.mark.parametrize(
    ("limit", "what", "job"),
    [
        ({"max_slots": 4}, "slots", {"slots": 5}),
        ({"max_nodes": 4}, "nodes", {"nodes": 5}),
        ({"max_gpus": 4}, "GPUs", {"gpus": 5}),
        ({"max_memory_mib": 4}, "memory", {"memory": 5}),
        ({"max_time_s": 3541}, "time", {"minutes": 61}),  # counts as an hour
    ],
)
def test_a_job_that_wants_more_than_one_may_have_waits_for_good_or_is_refused(limit, what, job):
    small = {name: most for name, most in job.items() if name == "nothing"}
    limits = JobLimits(**limit)
    site = Site([job, small], accounts=[Account("a", per_job=limits)])
    reason = of_account(what, "a job")
    assert site.submit(0, 1) == ["", ""]
    assert [site.blocked(0), site.blocked(1)] == [reason, ""]
    of_quality = f"limit on {what} of a job of a quality of service"
    kept = Site([job | {"qos": "q"}], qos=[Qos("q", per_job=limits)])
    assert [*kept.submit(0), kept.blocked(0)] == ["", of_quality]
    denied = Site([job | {"qos": "q"}], qos=[Qos("q", per_job=limits, flags=DENIES)])
    assert denied.submit(0) == [of_quality]


def test_deny_on_limit_refuses_what_could_never_start_but_not_what_waits():
    qos = Qos("q", flags=DENIES)
    account = Account("a", in_all=SharedLimits(max_slots=8))
    site = Site(
        [{"qos": "q", "slots": 9}, {"qos": "q", "slots": 8}, {"qos": "q"}, {"slots": 9}],
        accounts=[account],
        qos=[qos],
    )
    assert site.submit(0, 1, 2, 3) == [of_account("slots"), "", "", ""]
    site.start(1)
    assert site.blocked(2) == of_account("slots")
    assert site.blocked(3) == of_account("slots")


def test_a_users_own_limits_of_a_job_go_before_his_accounts():
    site = Site(
        [{"slots": 6, "nodes": 3}, {"slots": 6, "nodes": 3, "user": "w"}],
        accounts=[Account("a", per_job=JobLimits(max_slots=4, max_nodes=4))],
        users=[User("u", 1, ("a",), per_job=JobLimits(max_slots=8))],
    )
    assert [site.blocked(0), site.blocked(1)] == ["", of_account("slots", "a job")]


def test_who_has_no_such_account_or_quality_is_refused():
    site = Site([{"user": "x"}, {"qos": "x"}, {}])
    assert site.submit(0, 1, 2) == [
        "its user isn't in its account",
        "it may not have its quality of service",
        "",
    ]


SHARED = st.builds(
    SharedLimits,
    max_jobs=st.sampled_from([None, 2]),
    max_slots=st.sampled_from([None, 6]),
    max_nodes=st.sampled_from([None, 3]),
    max_submitted=st.sampled_from([None, 4]),
)
JOBS = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.sampled_from(["u", "w"]),
            "qos": st.sampled_from(["normal", "q"]),
            "slots": st.integers(1, 4),
            "nodes": st.integers(1, 2),
        }
    ),
    min_size=1,
    max_size=8,
)


@checked
@given(
    jobs=JOBS,
    account=SHARED,
    qos=st.tuples(SHARED, SHARED, SHARED),
    moves=st.lists(st.tuples(st.integers(0, 7), st.integers(0, NODES - 2)), max_size=30),
)
def test_no_limit_is_broken_and_nothing_is_left_when_all_have_ended(jobs, account, qos, moves):
    quality = Qos("q", in_all=qos[0], per_user=qos[1], per_account=qos[2])
    site = Site(jobs, accounts=[Account("a", in_all=account)], qos=[quality])
    submitted = set()
    for job, node in moves:
        if job in site.on:
            site.end(job)
            submitted.discard(job)
        elif job < len(jobs) and job not in submitted:
            if site.submit(job) == [""]:
                submitted.add(job)
        elif job < len(jobs):
            nodes = range(node, node + jobs[job]["nodes"])
            if not site.blocked(job, *nodes):
                site.start(job, *nodes)
                if jobs[job]["qos"] == "normal":
                    _keeps(account, {one: jobs[one] for one in site.on}, site)
        running = {job: jobs[job] for job in site.on}
        mine = {job: one for job, one in running.items() if one["qos"] == "q"}
        for limits, groups in (
            (quality.in_all, [mine]),
            (quality.per_account, [mine]),
            (
                quality.per_user,
                [{j: o for j, o in mine.items() if o["user"] == name} for name in ("u", "w")],
            ),
        ):
            for group in groups:
                _keeps(limits, group, site)
    for job in list(site.on):
        site.end(job)
        submitted.discard(job)
    for job in submitted:
        withdraw(site.limits, job)
    assert not site.limits.used.any()
    assert not site.limits.busy.any()


def _keeps(limits, jobs, site):
    nodes = {int(node) for job in jobs for node in site.on[job]}
    assert limits.max_jobs is None or len(jobs) <= limits.max_jobs
    assert limits.max_slots is None or sum(j["slots"] for j in jobs.values()) <= limits.max_slots
    assert limits.max_nodes is None or len(nodes) <= limits.max_nodes
