"""The software's own version: known from a checkout, and from a wheel that has none."""

from campaign.core import version
from campaign.core.version import git_commit, software, software_version, source_digest


def test_a_checkout_knows_its_version_its_commit_and_the_digest_of_its_files():
    found = software()
    assert found.software_version == software_version() != "unknown"
    assert len(found.source_digest) == 16 and found.source_digest == source_digest()


def test_without_git_version_and_digest_are_there(monkeypatch):
    def no_git(*_: object) -> str:
        raise FileNotFoundError("git")

    monkeypatch.setattr(version, "_git", no_git)
    git_commit.cache_clear()
    try:
        assert {"software_version", "source_digest"} == software().facts.keys()
    finally:
        git_commit.cache_clear()


def test_a_wheel_below_somebody_elses_checkout_does_not_take_its_commit(monkeypatch):
    monkeypatch.setattr(version, "_git", lambda root, *_: f"{root.parent}\nabcdef")
    git_commit.cache_clear()
    try:
        assert git_commit() == "unknown"
    finally:
        git_commit.cache_clear()
