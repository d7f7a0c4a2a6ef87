"""Ray is never joined open: whoever could reach it would run what they like on every host."""

import logging
import os
import sys

import pytest

from actors.hosts import ray_doorbell, ray_folder, ray_session
from campaign.core import log
from campaign.core.errors import ConfigError, InfrastructureError


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """As before Ray is imported, with a home that has no token."""
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    for name in (
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN",
        "RAY_AUTH_TOKEN_PATH",
        *ray_session.ENVIRONMENT,
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


@pytest.fixture
def asked(monkeypatch):
    """The addresses whose Rays were asked whether they want a token; all of them do."""
    addresses = []
    monkeypatch.setattr(ray_doorbell, "require_refusal", addresses.append)
    return addresses


def test_a_ray_without_a_token_is_not_joined(environment):
    with pytest.raises(ConfigError, match="would be joined without a token"):
        ray_session.prepare("10.0.0.1:6379")
    environment.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ConfigError):
        ray_session.prepare("10.0.0.1:6379")


@pytest.mark.parametrize("how", ["variable", "path", "home"])
def test_a_token_may_be_given_in_each_way_that_ray_knows(environment, asked, tmp_path, how):
    environment.setenv("RAY_AUTH_MODE", "token")
    if how == "variable":
        environment.setenv("RAY_AUTH_TOKEN", "0" * 64)
    else:
        file = tmp_path / ("elsewhere" if how == "path" else ".ray/auth_token")
        file.parent.mkdir(exist_ok=True)
        file.write_text("0" * 64)
        if how == "path":
            environment.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    ray_session.prepare("10.0.0.1:6379")
    assert asked == ["10.0.0.1:6379"]


def test_a_ray_that_lets_in_anybody_is_not_joined_whatever_token_we_have(environment, monkeypatch):
    environment.setenv("RAY_AUTH_MODE", "token")
    environment.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setattr(ray_doorbell, "_ask", lambda address: ["ACCEPTED"])
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1:6379 lets in who has no token"):
        ray_session.prepare("10.0.0.1:6379")


def test_nobody_is_asked_where_ray_is_our_own(environment, asked):
    ray_session.prepare(None)
    assert not asked


def test_our_own_ray_gets_a_token_of_its_own_each_time(environment):
    tokens = set()
    for _ in range(2):
        ray_session.prepare(None)
        assert os.environ["RAY_AUTH_MODE"] == "token"
        tokens.add(os.environ["RAY_AUTH_TOKEN"])
    assert len(tokens) == 2 and all(len(token) == 64 for token in tokens)


def test_the_token_never_gets_into_a_log(environment, tmp_path):
    ray_session.prepare(None)
    token = os.environ["RAY_AUTH_TOKEN"]
    with log.to_file(tmp_path / "log.jsonl"):
        logging.getLogger("actors.test").warning("Ray failed: %s", token)
    written = (tmp_path / "log.jsonl").read_text()
    assert token not in written and log.MASK in written


class SlowRay:
    """Ray on a machine where its daemons come up in time at the `works` attempt only."""

    def __init__(self, works):
        self.works = works
        self.folders = []

    def init(self, **options):
        self.folders.append(options["_temp_dir"])
        if len(self.folders) < self.works:
            raise Exception("The current node timed out during startup.")  # Ray's own kind

    def shutdown(self):
        """Nothing is left that could be ended."""


@pytest.fixture
def slow_ray(environment, tmp_path):
    def of(works):
        ray = SlowRay(works)
        environment.setitem(sys.modules, "ray", ray)
        return ray

    environment.setattr(ray_folder, "_TEMPORARY", tmp_path)
    return of


def test_a_ray_that_is_slow_to_start_is_started_again_in_a_folder_of_its_own(slow_ray, caplog):
    ray = slow_ray(works=3)
    ray_session.start(None)
    assert len(set(ray.folders)) == 3
    assert "started again" in caplog.text


def test_a_ray_that_never_starts_is_an_error_of_ours(slow_ray):
    slow_ray(works=9)
    with pytest.raises(InfrastructureError, match="a local Ray can't be reached or started"):
        ray_session.start(None)
