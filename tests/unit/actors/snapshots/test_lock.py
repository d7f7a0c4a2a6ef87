"""The lock on a golden cluster's key: one owner at a time over all hosts, and takeover."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.snapshots.lock import SnapshotLock

KEY = "k" * 64
OTHER = "o" * 64


class Peer:
    """Another host's lock, asked directly; `asked` is set when it has answered."""

    def __init__(self, name, lock):
        self.name = name
        self.lock = lock
        self.asked = threading.Event()
        self.answer_delay_s = 0.0

    def lock_state(self, key):
        state = self.lock.state(key)
        self.asked.set()
        time.sleep(self.answer_delay_s)
        return state


def locks_of(*names):
    """Locks of hosts that know each other, and the peers by (host that asks, host asked)."""
    locks = {name: SnapshotLock(name) for name in names}
    peers = {(a, b): Peer(b, locks[b]) for a in names for b in names if a != b}
    for name, lock in locks.items():
        lock.set_peers([peer for (asking, _), peer in peers.items() if asking == name])
    return [locks[name] for name in names], peers


def test_one_owner_at_a_time_on_a_host():
    lock = SnapshotLock("anna")
    assert lock.acquire(KEY, "one")
    assert not lock.acquire(KEY, "one") and not lock.acquire(KEY, "two")
    assert lock.acquire(OTHER, "two")
    assert lock.state(KEY) == "claimed"
    assert lock.confirm(KEY, "one")
    assert lock.state(KEY) == "held"
    lock.release(KEY, "one")
    lock.release(KEY, "one")
    assert lock.state(KEY) == "free" and lock.acquire(KEY, "two")


def test_a_late_release_frees_nothing_of_the_next_owner():
    lock = SnapshotLock("anna")
    lock.acquire(KEY, "one")
    lock.release_all_of("one")
    lock.acquire(KEY, "two")
    lock.release(KEY, "one")
    assert lock.state(KEY) == "claimed"


def test_what_a_dead_owner_had_is_taken_over():
    lock = SnapshotLock("anna")
    lock.acquire(KEY, "one")
    lock.acquire(OTHER, "two")
    assert lock.confirm(KEY, "one")
    lock.release_all_of("one")
    assert lock.acquire(KEY, "two") and lock.state(OTHER) == "claimed"


def test_a_claim_whose_owner_dies_before_it_is_confirmed_is_not_held():
    lock = SnapshotLock("anna")
    lock.acquire(KEY, "one")
    lock.release_all_of("one")
    assert not lock.confirm(KEY, "one")
    lock.acquire(KEY, "two")
    assert not lock.confirm(KEY, "one")
    assert lock.state(KEY) == "claimed"


def test_a_host_gives_up_its_claim_on_what_another_holds():
    (anna, bert), _ = locks_of("anna", "bert")
    bert.acquire(KEY, "b")
    assert bert.confirm(KEY, "b")
    anna.acquire(KEY, "a")
    assert not anna.confirm(KEY, "a")
    assert anna.state(KEY) == "free"


def test_of_two_claims_the_first_by_name_wins():
    (anna, bert), _ = locks_of("anna", "bert")
    anna.acquire(KEY, "a")
    bert.acquire(KEY, "b")
    assert not bert.confirm(KEY, "b")
    assert anna.confirm(KEY, "a")


def test_a_claim_waits_for_a_later_host_that_looked_before_it_was_made():
    (anna, bert), peers = locks_of("anna", "bert")
    peers["bert", "anna"].answer_delay_s = 0.3
    bert.acquire(KEY, "b")
    with ThreadPoolExecutor() as threads:
        held_there = threads.submit(bert.confirm, KEY, "b")
        assert peers["bert", "anna"].asked.wait(10)
        anna.acquire(KEY, "a")
        assert not anna.confirm(KEY, "a")
        assert held_there.result()


def test_a_claim_that_is_never_decided_is_not_waited_for_for_ever():
    (anna, bert), _ = locks_of("anna", "bert")
    bert.acquire(KEY, "b")
    anna.acquire(KEY, "a")
    assert not anna.confirm(KEY, "a", timeout_s=0.1)
    assert anna.state(KEY) == "free"


@pytest.mark.parametrize("attempt", range(5))
def test_never_do_two_hosts_hold_a_key_and_somebody_gets_it(attempt):
    names = ("anna", "bert", "carl", "dora")
    locks, _ = locks_of(*names)
    holding = []
    most_at_once = []

    def work(lock, owner):
        done = 0
        until = time.monotonic() + 30
        while done < 3 and time.monotonic() < until:
            if lock.acquire(KEY, owner) and lock.confirm(KEY, owner):
                holding.append(owner)
                most_at_once.append(len(holding))
                time.sleep(0.002)
                holding.remove(owner)
                lock.release(KEY, owner)
                done += 1
            time.sleep(0.001)
        return done

    with ThreadPoolExecutor() as threads:
        every = [
            threads.submit(work, lock, f"{name}-{number}")
            for name, lock in zip(names, locks, strict=True)
            for number in range(2)
        ]
        assert [one.result() for one in every] == [3] * 8
    assert max(most_at_once) == 1
