"""Logs on their way home: of living and dead actors, near and far, once and in several visits."""

import threading

import pytest

from actors.hosts import log_collector
from actors.hosts.actor_log import CHUNK_BYTES, LogPlace
from actors.hosts.host_actor import HostActor
from actors.hosts.log_collector import LogCollector, LogsOfActor, LogsOfNode, source_of
from campaign.core.errors import InfrastructureError
from campaign.records.collected_logs import CollectedLogs
from campaign.schema.hosts import HostSettings

DEAD = "host-anna-20290101T000000Z-1.jsonl"
LIVING = "host-anna-20290101T000100Z-2.jsonl"


class InProcess:
    """Calls the methods of an actor that lives in this process; `RemoteActor` as far as it goes."""

    def __init__(self, actor):
        self.actor = actor

    def call_within(self, timeout_s, failure, method, *arguments):
        if self.actor is None:
            raise InfrastructureError(f"{failure} within {timeout_s:g} s")
        return method(self.actor, *arguments)


@pytest.fixture
def home(tmp_path):
    return CollectedLogs(tmp_path / "results/demo/logs", "demo", "0123456789abcdef")


@pytest.fixture
def settings(tmp_path):
    return HostSettings(state_dir=str(tmp_path / "anna"))


@pytest.fixture
def place(home, settings):
    made = LogPlace(settings.state_dir, home.campaign)
    made.folder.mkdir(parents=True)
    return made


def write(place, name, text):
    with (place.folder / name).open("ab") as file:
        file.write(text)


def read(tmp_path, name):
    return (tmp_path / "results/demo/logs" / name).read_bytes()


def far(settings):
    return settings.model_copy(update={"reach": "ray"})


def actor_on(place):
    actor = HostActor()
    actor._log_place = place
    return InProcess(actor)


def brought(home, *hosts):
    """Request each of the hosts, and wait until their logs are home."""
    collector = LogCollector(home)
    for host in hosts:
        collector.request(*host)
    collector.finish()
    assert not collector._thread.is_alive()


def test_a_local_host_whose_actor_died_leaves_its_log_up_to_a_broken_line(
    home, settings, place, tmp_path
):
    write(place, DEAD, b'{"message": "one"}\n{"mess')
    brought(home, ("anna", settings, None))
    assert read(tmp_path, DEAD) == b'{"message": "one"}\n{"mess'
    assert (tmp_path / "results/demo/logs" / DEAD).stat().st_mode & 0o077 == 0


def test_a_far_host_gives_the_logs_of_its_living_actor_and_of_earlier_lives(
    home, settings, place, tmp_path
):
    write(place, DEAD, b"the end of the first life")
    write(place, LIVING, b"{}\n" * CHUNK_BYTES)  # more than a chunk
    brought(home, ("anna", far(settings), actor_on(place)))
    assert read(tmp_path, DEAD) == b"the end of the first life"
    assert read(tmp_path, LIVING) == b"{}\n" * CHUNK_BYTES


def test_of_a_far_host_whose_actor_is_dead_a_task_reads_the_logs(
    home, settings, place, tmp_path, monkeypatch
):
    write(place, DEAD, b"its end")
    asked = []

    def run_on(host, work, *arguments, timeout_s):
        asked.append(host)
        return work(*arguments)

    monkeypatch.setattr(log_collector, "ray_nodes", lambda: {"anna": {}})
    monkeypatch.setattr(log_collector, "run_on", run_on)
    brought(home, ("anna", far(settings), None))
    assert read(tmp_path, DEAD) == b"its end" and set(asked) == {"anna"}


def test_a_far_host_that_is_gone_is_told_once_and_its_logs_come_when_it_is_back(
    home, settings, place, tmp_path, monkeypatch, caplog
):
    write(place, DEAD, b"its end")
    monkeypatch.setattr(log_collector, "ray_nodes", dict)
    collector = LogCollector(home)
    gone = LogsOfNode("anna", place)
    with caplog.at_level("WARNING", "actors"):
        collector._collect("anna", gone, home)
        collector._collect("anna", gone, home)
    (told,) = caplog.records
    assert "the logs of host anna can't be brought home now: no living Ray node" in told.message
    assert home.size(DEAD) == 0
    brought(home, ("anna", far(settings), actor_on(place)))
    assert read(tmp_path, DEAD) == b"its end"


def test_a_resumed_campaign_appends_what_is_new(home, settings, place, tmp_path):
    write(place, DEAD, b"first half, ")
    collector = LogCollector(home)
    collector._collect("anna", place, home)
    write(place, DEAD, b"second half")
    write(place, LIVING, b"another life")
    brought(
        CollectedLogs(tmp_path / "results/demo/logs", "demo", home.campaign[5:]),
        ("anna", settings, None),
    )
    assert read(tmp_path, DEAD) == b"first half, second half"
    assert read(tmp_path, LIVING) == b"another life"


def test_what_is_home_is_removed_at_the_end_and_not_before(home, settings, place):
    write(place, DEAD, b"its end")
    collector = LogCollector(home)
    collector._collect("anna", place, home)
    assert place.sizes() == {DEAD: 7}
    collector.request("anna", settings, None)
    collector.finish()
    assert place.sizes() == {} and home.size(DEAD) == 7


def test_logs_of_another_campaign_of_that_name_stay_where_they_are(home, settings, place):
    other = LogPlace(settings.state_dir, CollectedLogs(place.folder, "demo", "another").campaign)
    other.folder.mkdir(parents=True)
    write(other, DEAD, b"another campaign's")
    brought(home, ("anna", settings, None))
    assert home.size(DEAD) == 0 and other.sizes() == {DEAD: 18}


def test_a_name_that_leads_elsewhere_is_not_written(home, tmp_path, caplog):
    class Hostile(LogPlace):
        def sizes(self):
            return {"../../../../stolen.jsonl": 3}

        def chunk(self, name, offset):
            return b"abc"

    LogCollector(home)._collect("anna", Hostile("", ""), home)
    assert "not the name of an actor's log" in caplog.text
    assert not list(tmp_path.rglob("stolen*"))


def test_a_silent_host_delays_nobody(home, settings, place, tmp_path, monkeypatch):
    """A request returns at once; other hosts are served when the silent one was given up."""
    asked = threading.Event()
    given_up = threading.Event()
    answered = threading.Event()

    class Silent(InProcess):
        def call_within(self, *_):
            asked.set()
            given_up.wait(20)
            answered.set()
            raise InfrastructureError("host bert didn't answer within 5 s")

    write(place, DEAD, b"its end")
    collector = LogCollector(home)
    collector.request("bert", far(settings), Silent(None))
    collector.request("anna", settings, None)
    assert asked.wait(10) and not answered.is_set() and home.size(DEAD) == 0
    monkeypatch.setattr(log_collector, "FINISH_TIMEOUT_S", 0.2)
    collector.finish()
    assert collector._thread.is_alive() and not answered.is_set()
    given_up.set()
    collector._thread.join(20)
    assert read(tmp_path, DEAD) == b"its end"


def test_a_full_disk_at_home_ends_nothing(settings, place, caplog):
    class Full:
        campaign = "demo-01234567"

        def size(self, name):
            return 0

        def append(self, name, data):
            raise OSError("No space left on device")

    write(place, DEAD, b"its end")
    brought(Full(), ("anna", settings, None))
    assert "No space left" in caplog.text and place.sizes() == {DEAD: 7}


def test_without_a_home_nothing_is_written_nor_brought(settings):
    collector = LogCollector(None)
    collector.request("anna", settings, None)
    collector.finish()
    assert collector.place(settings) is None and collector._thread is None


def test_a_local_host_is_read_without_its_actor(settings, place):
    assert source_of("anna", settings, place, actor_on(place)) is place
    assert isinstance(source_of("anna", far(settings), place, actor_on(place)), LogsOfActor)
    assert isinstance(source_of("anna", far(settings), place, None), LogsOfNode)
