"""Leases: who answers for one, when it is over, and how run folders and the reaper go by it."""

import dataclasses
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.hypervisor import run_folder
from actors.hypervisor.connection import OwnedDomain
from actors.hypervisor.errors import HypervisorError, InvalidLease, InvalidNodeSpec, NodeNameTaken
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.reaper import Reaped, reap

NOW = 1_800_000_000


@pytest.fixture
def dead() -> Owner:
    """A process that was alive, and is not any more."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner.of(process.pid)
    assert owner.alive()
    process.communicate()
    return owner


def lease(owner: Owner | None = None, *, expires: int = NOW + 60, trial: str = "1") -> Lease:
    return Lease("front", trial, expires, owner or Owner.current())


class FakeLibvirt:
    """Holds domains as libvirt does: a name is taken once, an ended one is gone, some refuse to
    end."""

    def __init__(self, **leases: Lease) -> None:
        self.domains = {
            name: OwnedDomain(name, f"uuid-{name}", one) for name, one in leases.items()
        }
        self.immortal: set[str] = set()
        self.late: dict[str, Lease] = {}

    def ours(self) -> list[OwnedDomain]:
        found = list(self.domains.values())
        for (
            name,
            one,
        ) in self.late.items():  # a start that libvirt had accepted completes after the first look
            self.domains[name] = OwnedDomain(name, f"uuid-{name}", one)
        self.late = {}
        return found

    def destroy_owned(self, domain: OwnedDomain) -> bool:
        if domain.name in self.immortal:
            raise HypervisorError(f"the domain {domain.name} can't be ended")
        if self.domains.get(domain.name) != domain:
            return False
        del self.domains[domain.name]
        return True


def test_an_owner_is_its_process_and_not_a_reused_number(dead):
    me = Owner.current()
    assert me.alive()
    assert not dead.alive()
    assert not dataclasses.replace(me, start=me.start + 1).alive()
    assert not dataclasses.replace(
        me, boot=dead.boot[:-1] + ("0" if dead.boot[-1] != "0" else "1")
    ).alive()


def test_an_owner_on_another_machine_counts_as_alive():
    assert dataclasses.replace(Owner.current(), host="elsewhere@9", pid=2**22, start=1).alive()


def test_a_zombie_answers_for_nothing():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        Owner.of(pid)
    os.waitpid(pid, 0)


def test_owners_and_leases_survive_being_written_down():
    one = lease()
    assert Owner.parse(str(one.owner)) == one.owner
    assert Lease.from_fields(one.fields()) == one


@pytest.mark.parametrize(
    "text", ["", "host/boot/1/2", "h/" + "0" * 36 + "/-1/2", "h/" + "0" * 36 + "/1/2\n"]
)
def test_what_names_no_owner_is_refused(text):
    with pytest.raises(InvalidLease):
        Owner.parse(text)


@pytest.mark.parametrize(
    "fields", [{"trial": "a b"}, {"campaign": "<x>"}, {"campaign": ""}, {"expires": 0}]
)
def test_senseless_leases_are_refused(fields):
    with pytest.raises(InvalidLease):
        dataclasses.replace(lease(), **fields)


def test_a_lease_is_over_at_its_expiry_and_lapses_with_its_owner(dead):
    assert not lease().expired(NOW + 59)
    assert lease().expired(NOW + 60)
    assert not lease().lapsed(NOW)
    assert lease(dead).lapsed(NOW)


def test_a_run_folder_is_ours_alone_and_says_whose_it_is(tmp_path):
    folder = run_folder.create(tmp_path, "c1-n0", lease(), {"system.hostname": b"n0"})
    assert folder.lease() == lease()
    assert folder.credentials["system.hostname"].read_bytes() == b"n0"
    files = [one for one in folder.path.rglob("*") if one.is_file()]
    assert {one.stat().st_mode & 0o077 for one in (*files, folder.path)} == {0}
    with pytest.raises(NodeNameTaken):
        run_folder.create(tmp_path, "c1-n0", lease(), {})
    assert folder.credentials, "the second attempt must not touch the first one's files"


def test_a_run_folder_that_can_not_be_filled_is_not_there(tmp_path):
    with pytest.raises(HypervisorError):
        run_folder.create(tmp_path, "c1-n0", lease(), {"x" * 300: b"too long a name for a file"})
    assert [one.name for one in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b"])
def test_a_name_can_not_lead_out_of_the_run_root(tmp_path, name):
    root = tmp_path / "root"
    with pytest.raises(InvalidNodeSpec):
        run_folder.create(root, name, lease(), {})
    with pytest.raises(InvalidNodeSpec):
        run_folder.create(root, "c1-n0", lease(), {name: b""})
    assert not root.exists()


def test_a_renewed_lease_replaces_the_old_one(tmp_path):
    folder = run_folder.create(tmp_path, "c1-n0", lease(), {})
    folder.renew(lease(expires=NOW + 999))
    assert folder.lease().expires == NOW + 999


def test_the_reaper_takes_what_lapsed_and_nothing_else(tmp_path, dead):
    held = {"live": lease(), "expired": lease(expires=NOW), "orphan": lease(dead)}
    libvirt = FakeLibvirt(**held)
    for name, one in held.items():
        run_folder.create(tmp_path, name, one, {"key": b"secret"})
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file").write_text("not ours")

    reaped = reap(libvirt, tmp_path, now=NOW)

    assert set(libvirt.domains) == {"live"}
    assert {one.name for one in tmp_path.iterdir()} == {"live", "foreign", ".lock"}
    assert set(reaped.domains) == {"expired", "orphan"}
    assert {one.name for one in reaped.folders} == {"expired", "orphan"}
    assert reaped.kept == ("live",)
    assert reaped.failures == ()
    again = reap(libvirt, tmp_path, now=NOW)
    assert (again.domains, again.folders) == ((), ())


def test_the_reaper_takes_all_of_ours_when_told_so(tmp_path):
    run_folder.create(tmp_path, "live", lease(), {})
    libvirt = FakeLibvirt(live=lease())
    assert reap(libvirt, tmp_path, now=NOW, all=True).domains == ("live",)
    assert not libvirt.domains
    assert run_folder.all_folders(tmp_path) == []


def test_a_folder_whose_domain_never_came_is_removed(tmp_path, dead):
    run_folder.create(tmp_path, "c1-n0", lease(dead), {"key": b"secret"})
    assert [one.name for one in reap(FakeLibvirt(), tmp_path, now=NOW).folders] == ["c1-n0"]


def test_a_domain_that_libvirt_was_still_starting_is_found_too(tmp_path, dead):
    libvirt = FakeLibvirt(first=lease(dead))
    libvirt.late = {"second": lease(dead)}
    assert set(reap(libvirt, tmp_path, now=NOW).domains) == {"first", "second"}
    assert not libvirt.domains


def test_a_domain_that_can_not_be_ended_keeps_its_folder_and_is_reported(tmp_path, dead):
    libvirt = FakeLibvirt(stuck=lease(dead), other=lease(dead))
    libvirt.immortal = {"stuck"}
    for name in ("stuck", "other"):
        run_folder.create(tmp_path, name, lease(dead), {})
    reaped = reap(libvirt, tmp_path, now=NOW)
    assert reaped.domains == ("other",)
    assert [one.name for one in reaped.folders] == ["other"]
    assert len(reaped.failures) == 1
    assert "stuck" in str(reaped)


def _create_until_killed(root, began):
    class Endless(dict):
        def items(self):
            yield "key", b"secret"
            began.set()
            while True:
                yield "key2", (began.wait(), __import__("time").sleep(3600))

    run_folder.create(root, "c1-n0", lease(), Endless())


def test_a_driver_killed_while_it_made_a_folder_leaves_nothing_after_a_reap(tmp_path):
    fork = multiprocessing.get_context("fork")
    began = fork.Event()
    driver = fork.Process(target=_create_until_killed, args=(tmp_path, began))
    driver.start()
    assert began.wait(30)
    assert list(tmp_path.rglob("key")), "the driver is in the middle of it"
    driver.kill()
    driver.join()
    assert run_folder.all_folders(tmp_path) == []
    reap(FakeLibvirt(), tmp_path, now=NOW)
    assert [one.name for one in tmp_path.iterdir()] == [".lock"]


def test_a_reap_where_nothing_ever_ran_makes_nothing(tmp_path):
    reap(FakeLibvirt(), tmp_path / "never", now=NOW)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("domains", "folders", "text"),
    [
        ((), (), "removed 0 domains and 0 run folders, kept 0 live"),
        (("a",), (Path("a"),), "removed 1 domain and 1 run folder, kept 0 live"),
        (("a", "b"), (Path("a"), Path("b")), "removed 2 domains and 2 run folders, kept 0 live"),
    ],
)
def test_the_reaper_counts_what_it_removed_in_words(domains, folders, text):
    assert str(Reaped(domains, folders, (), ())) == text
