"""Operator commands: what the driver reads of them, and the commands that give them."""

import pytest

from campaign import __main__ as surrounding
from campaign.core.commands import COMMANDS, CommandFile, OperatorCommand
from campaign.core.errors import CommandFileError
from campaign.records.ledger import Ledger
from campaign.schema.hosts import HostSettings


def test_each_command_is_read_once_by_a_driver_and_all_by_the_next(tmp_path):
    commands = CommandFile(tmp_path)
    people = CommandFile(tmp_path)
    assert commands.new() == []
    people.append(OperatorCommand(action="drain", host="a"))
    people.append(OperatorCommand(action="serve", host="b", settings=HostSettings(reach="ray")))
    first, second = commands.new()
    assert (first.action, first.host, second.settings.reach) == (
        "drain",
        "a",
        "ray",
    ) and first.at > 0
    assert commands.new() == []
    people.append(OperatorCommand(action="serve", host="a"))
    assert [one.action for one in commands.new()] == ["serve"]
    assert len(CommandFile(tmp_path).new()) == 3


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path):
    commands = CommandFile(tmp_path)
    commands.append(OperatorCommand(action="drain", host="a"))
    file = tmp_path / COMMANDS
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:10])
    assert len(commands.new()) == 1 and commands.new() == []
    file.write_bytes(whole + whole)
    assert len(commands.new()) == 1


def test_a_line_that_is_no_command_is_an_error(tmp_path):
    (tmp_path / COMMANDS).write_text('{"action": "explode", "host": "a"}\n')
    with pytest.raises(CommandFileError, match="line 1 is not a valid command"):
        CommandFile(tmp_path).new()


@pytest.fixture
def campaign(tmp_path):
    """A campaign that has begun with one host; its settings as overrides."""
    with Ledger(tmp_path / "results" / "demo" / "ledger.jsonl") as ledger:
        ledger.append(
            "campaign",
            id="1",
            name="demo",
            config={"hosts": {"local": {}}},
            images={},
            workload_hash="",
        )
    return [f"output.results={tmp_path}/results"]


def told(capsys, *arguments):
    status = surrounding.main(list(arguments))
    return status, "".join(capsys.readouterr())


def test_a_host_is_drained_and_serves_again(campaign, tmp_path, capsys):
    assert told(capsys, "host", "drain", "local", *campaign)[0] == 0
    assert "drained" in told(capsys, "host", "list", *campaign)[1]
    assert told(capsys, "host", "serve", "local", *campaign)[0] == 0
    listed = told(capsys, "host", "list", *campaign)[1]
    assert "local" in listed and "this machine" in listed and "drained" not in listed
    assert [one.action for one in CommandFile(tmp_path / "results" / "demo").new()] == [
        "drain",
        "serve",
    ]


def test_a_host_is_added_with_its_settings(campaign, tmp_path, capsys):
    added = ["hosts.b={reach: ray}", "testbed.ray_address=127.0.0.1:6379"]
    assert told(capsys, "host", "serve", "b", *campaign, *added)[0] == 0
    (command,) = CommandFile(tmp_path / "results" / "demo").new()
    assert command.host == "b" and command.settings.reach == "ray"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["drain", "other"],
            ["'other' isn't a host of the campaign demo", "its hosts: local", "host serve other"],
        ),
        (["serve", "other"], ["'other' isn't a host"]),
        (["drain", "Ab c"], ["can't be the name of a host"]),
        (["drain", "local", "name=never"], ["no campaign"]),
    ],
)
def test_commands_that_cannot_be_meant(campaign, capsys, arguments, said):
    status, output = told(capsys, "host", *arguments, *campaign)
    assert status == 2 and all(one in output for one in said), output


def test_joining_names_the_token_the_label_and_both_machines(capsys):
    status, said = told(capsys, "host", "join", "b", "--head", "10.0.0.1")
    assert status == 0
    for part in (
        "RAY_AUTH_MODE=token",
        "--labels=host=b",
        "--address=10.0.0.1:6379",
        "--node-ip-address=10.0.0.1",
    ):
        assert part in said
    assert "umask 077" in said and "'hosts={b: {reach: ray}}'" in said
    assert told(capsys, "host", "join", "b; rm -rf /")[0] == 2


@pytest.mark.parametrize(
    "uri", ["qemu+ssh://root@b/system", "qemu://b/system", "qemu+tcp://b/system"]
)
def test_a_libvirt_of_another_machine_is_refused_with_the_way_to_reach_it(capsys, uri):
    status, said = told(capsys, "host", "list", f"hosts.local.uri={uri}")
    assert status == 2 and "reach: ray" in said


def test_a_far_host_needs_a_ray(capsys):
    status, said = told(capsys, "host", "list", "hosts.local.reach=ray")
    assert status == 2 and "testbed.ray_address" in said
