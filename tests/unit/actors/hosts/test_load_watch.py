"""Hosts tell from time to time how busy they are; one that doesn't is taken for quiet."""

import pytest
from ray.exceptions import RayError

from actors.hosts import load_watch
from actors.hosts.load_watch import ASK_INTERVAL_S, LoadWatch
from campaign.core.host_load import LoadSample


def sample(foreign):
    return LoadSample(0.0, 5.0, 2, cpu=0.1, foreign_cpus=foreign, own_cpus=0.1)


class Asked:
    """The actors of some hosts, and Ray, which brings the answers that are there."""

    def __init__(self, *hosts):
        self.serving = dict.fromkeys(hosts)
        self.answers = {}
        self.questions = []

    def actor(self, host):
        asked = self

        class Actor:
            def send(self, method, window_s):
                asked.questions.append(host)
                return (host, len(asked.questions))

        return Actor()

    def wait(self, references, *, num_returns, timeout):
        there = [one for one in references if one[0] in self.answers]
        return there, [one for one in references if one not in there]

    def get(self, reference):
        answer = self.answers[reference[0]]
        if isinstance(answer, Exception):
            raise answer
        return {reference[0]: answer}


@pytest.fixture
def pool(monkeypatch):
    made = Asked("a", "b")
    monkeypatch.setattr(load_watch, "ray", made)
    made.now = [100.0]
    monkeypatch.setattr(load_watch.time, "monotonic", lambda: made.now[0])
    return made


def test_trials_would_be_disturbed_only_where_every_host_is_busy(pool):
    watch = LoadWatch(pool)
    pool.answers = {"a": [sample(1.9)]}
    watch.poll()
    assert (watch.busy, watch.quiet) == ("", {"b"})  # b hasn't answered yet
    pool.answers["b"] = [sample(1.8)]
    watch.poll()
    assert watch.quiet == set()
    assert watch.busy == (
        "host a: CPU pressure 10 %, other programs used 1.9 of 2 CPUs; "
        "host b: CPU pressure 10 %, other programs used 1.8 of 2 CPUs"
    )
    pool.now[0] += ASK_INTERVAL_S
    pool.answers["b"] = [sample(0.1)]
    watch.poll()
    assert (watch.busy, watch.quiet) == ("", {"b"})


def test_no_second_question_while_one_is_open_and_none_too_soon(pool):
    watch = LoadWatch(pool)
    for _ in range(3):
        watch.poll()
    assert pool.questions == ["a", "b"]
    pool.answers = {"a": [], "b": []}
    watch.poll()
    watch.poll()
    assert pool.questions == ["a", "b"]
    pool.now[0] += ASK_INTERVAL_S
    watch.poll()
    assert pool.questions == ["a", "b", "a", "b"]


def test_a_lost_host_and_one_whose_actor_is_dead_are_forgotten(pool):
    watch = LoadWatch(pool)
    pool.answers = {"a": [sample(1.9)], "b": [sample(1.9)]}
    watch.poll()
    assert watch.busy
    pool.now[0] += ASK_INTERVAL_S
    pool.answers["b"] = RayError("dead")
    watch.poll()
    assert set(watch.loads) == {"a"}
    assert watch.busy == ""
    del pool.serving["a"], pool.serving["b"]
    watch.poll()
    assert (watch.loads, watch.busy) == ({}, "")
