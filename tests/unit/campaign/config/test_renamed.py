"""Settings by names that they once had: read from everywhere, and each logged."""

import json
import logging

import pytest

from campaign.config.compose import compose, compose_recorded
from campaign.config.renamed import RENAMED, with_current_names
from campaign.core.errors import ConfigError, LedgerError
from campaign.execution.run import run
from campaign.schema.model import Campaign
from campaign.schema.settings import rows
from tests.fakes.tracker import FakeTracker

OLD = ("testbed.silence_s=7", "testbed.overlap=none", "testbed.first_strike_s=1.5")
# No testbed has a use for all of them.
USED = tuple(RENAMED.values())


def settings_of(composed):
    testbed = composed.campaign.testbed
    return testbed.heartbeat_timeout_s, testbed.prefetch, testbed.cycle_offset_s


def test_every_new_name_is_a_setting_and_no_old_one_is():
    known = {row.path for row in rows(Campaign)}
    assert set(RENAMED.values()) <= known and not known & set(RENAMED)


def test_overrides_have_their_old_names(caplog):
    composed = compose(OLD, used_elsewhere=USED)
    assert settings_of(composed) == (7, "none", 1.5)
    assert [message.split(";")[0] for message in caplog.messages] == [
        f"{old} is now called {RENAMED[old]}" for old in (one.split("=")[0] for one in OLD)
    ]


def test_a_campaign_repeats_with_the_present_names():
    assert "testbed.prefetch=none" in compose(OLD, used_elsewhere=USED).origins.overrides


def test_an_override_of_the_whole_group_may_have_old_names(caplog):
    assert compose(["testbed={silence_s: 9}"]).campaign.testbed.heartbeat_timeout_s == 9
    assert len(caplog.messages) == 1


@pytest.fixture
def own(tmp_path):
    """A folder of a user's own configuration, with a testbed that has old names."""
    group = tmp_path / "conf/testbed"
    group.mkdir(parents=True)
    (group / "ours.yaml").write_text("silence_s: 11\noverlap: running\n")
    return tmp_path / "conf"


def test_files_have_their_old_names(own, caplog):
    composed = compose(["testbed=ours"], own)
    assert settings_of(composed)[:2] == (11, "running")
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("name", ["overlap", "prefetch"])
def test_an_override_wins_over_a_file_by_either_name(own, name):
    composed = compose(["testbed=ours", f"testbed.{name}=none"], own)
    assert settings_of(composed)[:2] == (11, "none")


def test_an_error_names_the_file_that_has_the_old_name(own):
    (own / "testbed/ours.yaml").write_text("silence_s: 1\n")
    with pytest.raises(ConfigError) as caught:
        compose(["testbed=ours"], own)
    assert "testbed.heartbeat_timeout_s = 1" in caught.value.brief
    assert "ours.yaml" in caught.value.brief


def test_both_names_at_once_are_an_error(own):
    (own / "testbed/ours.yaml").write_text("silence_s: 8\nheartbeat_timeout_s: 9\n")
    with pytest.raises(ConfigError, match=r"testbed\.silence_s"):
        compose(["testbed=ours"], own)


def test_what_is_renamed_stays_as_it_was():
    values = {"testbed": {"overlap": "none"}, "name": "x"}
    assert with_current_names(values) == {"testbed": {"prefetch": "none"}, "name": "x"}
    assert values == {"testbed": {"overlap": "none"}, "name": "x"}


def with_old_names(config):
    """A recorded configuration as it was before settings were renamed."""
    testbed = dict(config["testbed"])
    for old, new in RENAMED.items():
        testbed[old.partition(".")[2]] = testbed.pop(new.partition(".")[2])
    return {**config, "testbed": testbed}


def test_a_recorded_configuration_has_its_old_names(caplog):
    caplog.set_level(logging.INFO)
    composed = compose(["testbed=simulation", *OLD], used_elsewhere=USED)
    caplog.clear()
    config = composed.campaign.model_dump(mode="json")
    assert compose_recorded(with_old_names(config)).campaign == composed.campaign
    assert len(caplog.messages) == len(RENAMED)
    assert all(message.startswith("the ledger: testbed.") for message in caplog.messages)


def test_a_campaign_of_old_names_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "campaign.execution.run.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
    )
    settings = [
        "testbed=simulation",
        "workload.jobs=5",
        "testbed.cycle_offset_s=1.5",
        f"output.results={tmp_path}/r",
        "output.log=plain",
        "name=old",
    ]
    run(compose([*settings, "search.trials=1"]))
    ledger = tmp_path / "r/old/ledger.jsonl"
    head, *rest = [json.loads(line) for line in ledger.read_text().splitlines()]
    head["config"] = with_old_names(head["config"])
    for event in (head, *rest):  # ledgers had no checksums then
        del event["n"], event["hash"]
    ledger.write_text("".join(json.dumps(event) + "\n" for event in (head, *rest)))
    assert run(compose([*settings, "search.trials=2"])) == 0
    with pytest.raises(LedgerError, match="1 setting differs"):
        run(compose([*settings, "search.trials=2", "testbed.cycle_offset_s=2"]))
