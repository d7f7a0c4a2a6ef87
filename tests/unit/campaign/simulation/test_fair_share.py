"""Fair share: trees worked out by hand, and what is kept whatever jobs there are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.cluster import Account, ClusterModel, User
from campaign.simulation.fair_share import count_use, factor_of, fade, rank, shares_of, use_since
from campaign.simulation.people import people_of
from schedulers.policy import FairShare

checked = settings(deadline=None, max_examples=100)  # what runs first compiles
NO_FADING = {"half_life_s": 0.0}
DAY = 86_400


class Tree:
    """The tree of accounts given as {name: (parent, shares, {user: shares})}."""

    def __init__(self, accounts, **wanted):
        model = ClusterModel(
            accounts=tuple(Account(name, row[0], row[1]) for name, row in accounts.items()),
            users=tuple(
                User(user, place, (name,), shares)
                for name, row in accounts.items()
                for place, (user, shares) in enumerate(row[2].items())
            ),
        )
        self.people = people_of(model)
        self.tree, self.rules = shares_of(self.people, FairShare(1.0, **wanted))
        self.places = {
            one.user or one.account: place
            for place, one in enumerate(self.people.associations)
            if place != 1
        }

    def use(self, user, amount):
        since = self.tree.since[0]
        count_use(
            self.tree,
            self.places[user],
            amount * use_since(self.tree, self.rules, since, since + 1),
        )

    def factors(self, *users):
        return [factor_of(self.tree, self.rules, self.places[user]) for user in users]

    def tick(self, now):
        fade(self.tree, self.rules, now)
        if self.rules.kind == 0:
            rank(self.tree)
        self.tree.since[0] = now

    def usage(self, name):
        return self.tree.usage[self.places[name]]


# The administrator has a share beside the accounts: 1 of 4.
TWO = {"a": (None, 1, {"u": 1, "w": 3}), "b": (None, 2, {"v": 1})}
EQUAL = {"a": (None, 1, {"u": 1, "w": 1}), "b": (None, 1, {"v": 1})}


def test_shares_are_of_a_level_and_of_the_whole():
    one = Tree(TWO)
    places = [one.places[name] for name in ("a", "u", "w", "b", "v")]
    assert one.tree.level[places].tolist() == [0.25, 0.25, 0.75, 0.5, 1.0]
    assert one.tree.whole[places].tolist() == [0.25, 0.0625, 0.1875, 0.5, 0.5]


def test_classic_use_of_a_user_is_partly_its_accounts():
    one = Tree(TWO, kind="classic", **NO_FADING)
    one.use("u", 100)
    one.use("v", 300)
    one.tick(1)
    # u had all of its account's quarter for 1/16 of the cluster; w bears 3/4 of that quarter.
    assert one.factors("u", "w", "v") == pytest.approx([2**-4, 2**-1, 2**-1.5])
    damped = Tree(TWO, kind="classic", damping=2, **NO_FADING)
    damped.use("v", 300)
    damped.tick(1)
    assert damped.factors("v") == pytest.approx([2**-1])


def test_classic_use_of_accounts_is_looked_at_before_new_use_and_that_of_users_after():
    one = Tree(TWO, kind="classic", **NO_FADING)
    fade(one.tree, one.rules, 0)
    one.use("u", 100)
    # Nothing was known of the account's use yet: u's own hundred counts for three quarters.
    assert one.factors("u") == pytest.approx([2 ** -(0.75 / 0.0625)])


def test_classic_shares_of_nothing_are_worth_nothing():
    one = Tree({"a": (None, 0, {"u": 1})}, kind="classic", **NO_FADING)
    assert one.factors("u") == [0.0]


def test_oblivious_use_of_lone_users_is_their_accounts():
    deep = {
        "a": (None, 1, {}),
        "b": ("a", 1, {}),
        "c": ("b", 1, {"u": 1}),
        "d": (None, 2, {"v": 1}),
    }
    one = Tree(deep, kind="oblivious", **NO_FADING)
    one.use("u", 100)
    one.use("v", 300)
    one.tick(1)
    # Who is alone at each level below a has a's ratio: 1/4 of all use for 1/4 of all shares.
    assert one.factors("u", "v") == pytest.approx([2**-1, 2**-1.5])


def test_oblivious_use_of_siblings_differs_by_their_own():
    one = Tree({"a": (None, 1, {"u": 1, "w": 1})}, kind="oblivious", **NO_FADING)
    one.use("u", 300)
    one.use("w", 100)
    fade(one.tree, one.rules, 1)
    for user in ("u", "w"):
        one.factors(user)
    one.tick(2)
    # All use is a's, which has half of the shares: its ratio is 2. Within it u had 3/2 of its due.
    ratio = 2.0
    flat = 1 / (1 + (5 * math.log(ratio)) ** 2)
    assert one.factors("u", "w") == pytest.approx([2 ** -(ratio * 1.5), 2 ** -(ratio * 0.5**flat)])


def test_fair_tree_ranks_accounts_before_users():
    one = Tree(TWO, **NO_FADING)
    one.use("u", 100)
    one.use("v", 300)
    one.tick(1)
    # Four users; the administrator had nothing and is first. a had its due, b 3/2 of it; in a, w
    # had nothing.
    assert one.factors("w", "u", "v") == [0.75, 0.5, 0.25]
    assert one.tree.factor[1] == 1.0


def test_fair_tree_of_nobody_who_had_anything_is_one_tie():
    one = Tree(TWO)
    assert one.factors("u", "w", "v") == [1.0, 1.0, 1.0]


def test_users_of_equal_accounts_begin_at_the_last_rank_of_the_one_before():
    one = Tree(EQUAL, **NO_FADING)
    one.use("u", 100)
    one.use("v", 100)
    one.tick(1)
    assert one.factors("w", "u", "v") == [0.75, 0.5, 0.5]


def test_no_shares_are_last_in_the_fair_tree():
    one = Tree({"a": (None, 1, {"u": 0, "w": 1})}, **NO_FADING)
    one.use("w", 100)
    one.tick(1)
    assert one.factors("w", "u") == pytest.approx([2 / 3, 1 / 3])


def test_use_fades_by_its_half_life():
    one = Tree(TWO, half_life_s=600.0)
    one.use("v", 1000)
    before = one.usage("v")
    for minute in range(1, 11):
        one.tick(60 * minute)
    assert one.usage("v") == pytest.approx(before * (1 - 0.693 / 600) ** 600)
    assert one.usage("v") == pytest.approx(before / 2, rel=0.001)


def test_new_use_fades_from_its_beginning():
    one = Tree(TWO, half_life_s=600.0)
    one.tick(60)
    count_use(one.tree, one.places["v"], 4.0 * use_since(one.tree, one.rules, 10, 160))
    # It was counted until 60, whether it ran then or not.
    assert one.usage("root") == pytest.approx(4 * 100 * (1 - 0.693 / 600) ** 100)


@pytest.mark.parametrize(
    ("period", "day"),
    [("daily", 1), ("weekly", 5), ("monthly", 31), ("quarterly", 90), ("yearly", 365)],
)
def test_use_is_forgotten_at_its_time(period, day):
    one = Tree(TWO, forgotten=period, **NO_FADING)
    one.use("v", 100)
    one.tick(day * DAY - 1)
    assert one.usage("v") == 100
    one.tick(day * DAY + 59)
    assert one.usage("v") == 0
    one.use("v", 100)
    one.tick(day * DAY + 119)
    assert one.usage("v") > 0
    one.tick(2 * day * DAY + 60 * DAY)
    assert one.usage("v") == 0


JOBS = st.lists(
    st.tuples(
        st.sampled_from(["u", "w", "v"]),
        st.integers(0, 500),
        st.integers(1, 400),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=12,
)


@checked
@given(
    jobs=JOBS,
    half_life=st.sampled_from([0.0, 300.0]),
    kind=st.sampled_from(["tree", "classic", "oblivious"]),
    period=st.sampled_from([7, 60]),
)
def test_use_is_conserved(jobs, half_life, kind, period):
    """No use is lost or counted twice, and what an account had is what those below it had."""
    one = Tree(TWO, kind=kind, half_life_s=half_life)
    for now in range(0, 1000):
        for user, begun, ran, slots in jobs:
            if begun + ran == now:
                count_use(
                    one.tree, one.places[user], slots * use_since(one.tree, one.rules, begun, now)
                )
        if now % period == 0:
            fade(one.tree, one.rules, now)
            for user, begun, ran, slots in jobs:
                if begun <= now < begun + ran:
                    count_use(
                        one.tree,
                        one.places[user],
                        slots * use_since(one.tree, one.rules, begun, now),
                    )
            one.tick(now)
    held = sum(ran * slots for _, _, ran, slots in jobs)
    if half_life == 0:
        assert one.usage("root") == pytest.approx(held)
    else:
        assert 0 < one.usage("root") < held
    for above, below in (("root", ("a", "b")), ("a", ("u", "w")), ("b", ("v",))):
        assert one.usage(above) == pytest.approx(sum(map(one.usage, below)))
    factors = np.array(one.factors("u", "w", "v"))
    assert ((factors >= 0) & (factors <= 1)).all()
