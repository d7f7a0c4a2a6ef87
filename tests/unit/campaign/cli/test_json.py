"""`--json` on the commands that list: the same as the table, for programs."""

import json

import pytest

from campaign import __main__ as entry
from campaign.cli.output import table
from campaign.config.compose import compose
from campaign.images.bundles.store import Store
from campaign.testbeds import machine_check
from campaign.testbeds.machine_check import Finding, verdict
from tests.unit.campaign.images.test_store import add


def told(capsys, *arguments):
    assert entry.main(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_images(tmp_path, capsys):
    bundle = add(Store(tmp_path / "images"))
    (found,) = told(capsys, "image", "--store", str(tmp_path / "images"), "list", "--json")
    assert found["hash"] == bundle.hash and found["name"] == bundle.manifest.name
    assert found["bytes"] == sum(file.size for file in bundle.manifest.files.values())


def test_hosts(tmp_path, capsys):
    (found,) = told(capsys, "host", "list", "--json", f"output.results={tmp_path}")
    assert found == {
        "host": "local",
        "where": "this machine",
        "state": "serves",
        "trials": 0,
        "failed": 0,
    }


def test_what_the_doctor_finds(capsys):
    found = told(capsys, "doctor", "--json", "testbed=simulation")
    assert {one["what"] for one in found} >= {"packages", "extra ui", "disk"}
    assert "missing" not in {one["state"] for one in found}


def test_the_doctor_ends_with_what_it_comes_to(capsys):
    assert entry.main(["doctor", "testbed=simulation"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready for simulations"
    broken = [Finding("missing", "disk", "full", "free some"), Finding("ok", "packages", "all")]
    assert verdict(compose([]), broken) == (
        "not ready for campaigns on virtual machines: fix what is MISSING (1)"
    )


@pytest.mark.parametrize(
    ("overrides", "state"), [((), "missing"), (("testbed=simulation",), "absent")]
)
def test_an_extra_that_is_not_installed_counts_where_it_is_needed(overrides, state, monkeypatch):
    real = machine_check._version_of
    monkeypatch.setattr(
        machine_check, "_version_of", lambda name: "" if name == "ray" else real(name)
    )
    found = list(machine_check.examine(compose(list(overrides))))
    (vm,) = (one for one in found if one.what == "extra vm")
    assert (vm.state, vm.found) == (state, "without ray (for virtual machines)")
    assert "pip install 'hpc-campaign[vm]'" in vm.fix
    # Nothing else can be asked of virtual machines then.
    assert not any(one.what in ("libvirt", "capacity", "program") for one in found)


def test_numbers_stand_to_the_right():
    assert table(("name", "MiB"), [("a", "5"), ("bcdefg", "1000")]).splitlines() == [
        "name     MiB",
        "a          5",
        "bcdefg  1000",
    ]
    # A hash is no number, though it begins with a digit.
    assert table(("hash",), [("129a3990c",)]).splitlines() == ["hash", "129a3990c"]
