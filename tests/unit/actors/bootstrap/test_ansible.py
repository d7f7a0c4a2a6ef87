"""The same plan by Ansible: the folder that is written, what playing it leaves, and what is left of
it afterwards."""

import asyncio
import contextlib
import grp
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from actors.bootstrap import ansible as module
from actors.bootstrap.ansible import Access, clear_up, play, write
from actors.bootstrap.apply import BootstrapFailed, apply_plan
from actors.bootstrap.playbook_events import Transcript, task_details
from actors.bootstrap.ssh import NodeUnreachable, make_identity
from campaign import __main__ as command
from campaign.core.errors import ConfigError
from schedulers.ansible import Target, folder
from schedulers.base import BootstrapPlan, File, Probe, Stage, Step, Unit
from tests.fakes.clock import RecordingClock
from tests.fakes.node import ME, LocalNode, ssh_server

CLIENT = make_identity("client")
UNIT = Unit("slurmd.service")

pytestmark = pytest.mark.timeout(400)


def targets(*nodes):
    return [
        Target(node, "heads" if node == "head" else "others", {"ansible_host": "::1"})
        for node in nodes
    ]


def pages(plan, *nodes):
    """The folder's files by path; YAML parsed, but for tags that are ours to look at."""
    return {file.path: file for file in folder(plan, targets(*nodes))}


def tasks(plan, *nodes):
    return [
        task
        for each in yaml.safe_load(pages(plan, *nodes)["playbook.yml"].content)
        for task in each["tasks"]
    ]


def probe(expect="active", deadline_s=20.0):
    return Probe("daemon running", ("systemctl", "is-active", UNIT.name), expect, deadline_s, 0.1)


def one(step, *nodes):
    return BootstrapPlan((Stage("one", dict.fromkeys(nodes or ("n1",), step)),))


def test_what_machines_of_a_group_share_stands_once():
    key = File("/etc/key", b"k", 0o400, "munge", secret=True)
    step = Step((key, File("/etc/conf", b"c")), units=(UNIT,))
    found = pages(one(step, "head", "n1", "n2"), "head", "n1", "n2")
    assert {p for p in found if p.startswith(("files", "secrets"))} == {
        "files/common/etc/conf",
        "secrets/common/etc/key",
    }
    assert (found["secrets/common/etc/key"].mode, found["files/common/etc/conf"].mode) == (
        0o600,
        0o644,
    )
    assert yaml.safe_load(found["group_vars/others.yml"].content)["one_files"] == [
        {
            "src": "secrets/common/etc/key",
            "dest": "/etc/key",
            "owner": "munge",
            "mode": "0400",
            "secret": True,
        },
        {"src": "files/common/etc/conf", "dest": "/etc/conf", "owner": "root", "mode": "0644"},
    ]
    assert not any(path.startswith("host_vars") for path in found)


def test_machines_of_a_group_that_differ_have_their_own():
    steps = {node: Step((File("/etc/name", node.encode()),)) for node in ("n1", "n2")}
    plan = BootstrapPlan((Stage("one", steps), Stage("one", steps), Stage("1st", steps)))
    found = pages(plan, "n1", "n2")
    for node in steps:
        lists = yaml.safe_load(found[f"host_vars/{node}.yml"].content)
        assert [key for key in lists if key.endswith("_files")] == [
            "one_files",
            "one_1_files",
            "stage_1st_files",
        ]
        assert all(found[entries[0]["src"]].content == node.encode() for entries in lists.values())


def test_a_play_per_stage_and_each_task_for_its_nodes():
    steps = {
        "head": Step(commands=(("a",),), probes=(probe(),)),
        "n1": Step(),
        "n2": Step(commands=(("b",), ("c",))),
    }
    plan = BootstrapPlan(
        (Stage("first stage", steps), Stage("last", {"n1": Step(commands=(("d",),))}))
    )
    written = yaml.safe_load(pages(plan, "head", "n1", "n2")["playbook.yml"].content)
    assert [(each["name"], each["hosts"]) for each in written] == [
        ("first stage", "all"),
        ("last", "n1"),
    ]
    assert all(each["any_errors_fatal"] and each["gather_facts"] is False for each in written)
    assert [(task["name"], task.get("when")) for each in written for task in each["tasks"]] == [
        ("Run a", "inventory_hostname in groups['heads']"),
        ("Run b", "inventory_hostname in ['n2']"),
        ("Run c", "inventory_hostname in ['n2']"),
        ("Until daemon running", "inventory_hostname in groups['heads']"),
        ("Run d", None),
    ]


def test_commands_wait_for_a_changed_file_where_their_step_has_files():
    (_, run) = tasks(one(Step((File("/etc/a", b""),), (("x",),))), "n1")
    assert run["when"] == "one_written is changed"
    (run,) = tasks(one(Step(commands=(("x",),))), "n1")
    assert "when" not in run


def test_attempts_cover_the_deadline():
    (until,) = tasks(one(Step(probes=(probe(deadline_s=90),))), "n1")
    assert (until["retries"], until["delay"], until["changed_when"]) == (90, 0.1, False)
    assert until["ansible.builtin.command"]["argv"][:2] == ["timeout", "90"]


def test_equal_plans_give_equal_folders_and_secrets_do_not_print():
    step = Step((File("/etc/key", b"geheim", 0o400, secret=True),), (("x",),), (UNIT,), (probe(),))
    made = folder(one(step), targets("n1"))
    assert made == folder(one(step), targets("n1")) and "geheim" not in repr(made)


def ansible_playbook(place, *arguments):
    environment = os.environ | {"LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(place / ".home")}
    return subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", *arguments, "playbook.yml"],
        cwd=place, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_exported_campaign_is_a_sound_playbook(tmp_path, capsys):
    place = tmp_path / "out"
    overrides = [f"image.store={tmp_path}", "cluster.nodes=3", "scheduler.params.bf_interval=5"]
    assert command.main(["export", "ansible", "--out", str(place), *overrides]) == 0
    checked = ansible_playbook(place, "--syntax-check")
    assert checked.returncode == 0, checked.stderr
    inventory = yaml.safe_load((place / "inventory.yml").read_text())["all"]["children"]
    assert {group: [*hosts["hosts"]] for group, hosts in inventory.items()} == {
        "head_nodes": ["head"],
        "compute_nodes": ["n1", "n2", "n3"],
    }
    assert "bf_interval=5" in (place / "files/common/etc/slurm/slurm.conf").read_text()
    modes = {
        stat.S_IMODE(path.stat().st_mode)
        for path in (place / "secrets").rglob("*")
        if path.is_file()
    }
    assert modes == {0o600} and stat.S_IMODE((place / "secrets").stat().st_mode) == 0o700
    readme = (place / "README.md").read_text()
    said = capsys.readouterr().out
    assert "- cluster.nodes = 3\n" in readme and "`/etc/slurm/slurm.conf`" in readme
    assert "SchedulerType = sched/backfill (searched in {sched/backfill, sched/builtin}" in readme
    assert "SchedulerType = sched/backfill" in said and f"{place}/README.md" in said


def test_an_export_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "mine").touch()
    assert command.main(["export", "ansible", "--out", str(tmp_path)]) == 2
    assert f"{tmp_path} exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.fixture
def pair(tmp_path):
    if grp.getgrgid(os.getgid()).gr_name != ME:
        pytest.skip("cannot run here: this user has no group of its own name; run it as root")
    return [LocalNode(tmp_path, "head"), LocalNode(tmp_path, "n1")]


@contextlib.asynccontextmanager
async def reached(nodes, identity=CLIENT):
    """SSH servers in front of the nodes, and how they are reached."""
    async with contextlib.AsyncExitStack() as stack:
        access = {}
        for node in nodes:
            port, host_key = await stack.enter_async_context(ssh_server(node, identity))
            access[node.node] = Access(("127.0.0.1", port), CLIENT, host_key)
        yield access


def played(plan, nodes, *, seconds=300.0, times=1, change=lambda access: access):
    """Play, and return which stages were told."""

    async def run():
        clock = RecordingClock()
        async with reached(nodes) as access:
            for _ in range(times):
                await play(plan, change(access), deadline=time.monotonic() + seconds, clock=clock)
        return clock.details

    try:
        return asyncio.run(run())
    finally:
        assert leftovers() == []


def leftovers():
    """Processes and folders of playbooks."""
    folders = [
        str(path)
        for path in Path(module.tempfile.gettempdir()).glob(f"{module._PREFIX}{os.getpid()}-*")
    ]
    named = subprocess.run(
        ["pgrep", "-af", f"{module._PREFIX}{os.getpid()}-"],
        capture_output=True,
        text=True,
        check=False,
    )
    return folders + named.stdout.splitlines()


def whole(nodes):
    """A plan with some of everything."""

    def step(node):
        key = node.file("etc/deep/key", bytes(range(256)), 0o400, secret=True)
        braces = node.file("a {{ b }}.conf", b"{{ not a template }}\n", 0o600)
        note = ("bash", "-c", 'echo "$1" >>"$2"', "-", "{{ 7 * 7 }} {% raw", node.path("count"))
        return Step((key, braces), (note,), (UNIT, Unit("web.service", "reload")), (probe(),))

    last = Step(
        probes=(
            Probe(
                "it is {{ there }}",
                ("cat", nodes[0].path("count")),
                r"\{\{ 7 \* 7 \}\} .*",
                20,
                0.1,
            ),
        )
    )
    return BootstrapPlan(
        (Stage("all", {node.node: step(node) for node in nodes}), Stage("last", {"head": last}))
    )


def apply(plan, nodes):
    remotes = {node.node: node for node in nodes}
    asyncio.run(apply_plan(plan, remotes, deadline=time.monotonic() + 100, clock=RecordingClock()))


def test_both_ways_leave_the_same_and_either_again_changes_nothing(pair, tmp_path, monkeypatch):
    home = tmp_path / "user"
    plan = whole(pair)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv(
        "ANSIBLE_STDOUT_CALLBACK", "minimal"
    )  # the user's settings count for nothing
    assert played(plan, pair, times=1) == ["all", "last"]
    before = [node.state() for node in pair]
    left = [node.left() for node in pair]
    assert left[0][1] == {"slurmd.service", "web.service"}
    played(plan, pair)
    assert [node.state() for node in pair] == before
    apply(plan, pair)
    assert [node.state() for node in pair] == before
    (tmp_path / "other").mkdir()
    others = [LocalNode(tmp_path / "other", node.node) for node in pair]
    apply(whole(others), others)
    assert [node.left() for node in others] == left
    assert [*home.iterdir()] == [], "something was written into the user's home"


def test_a_failed_task_ends_the_playbook_with_its_result(pair):
    refused = ("bash", "-c", "echo no such disk >&2; exit 7")
    steps = {"head": Step(commands=(refused,)), "n1": Step(commands=(("true",),))}
    never = Step(commands=(("touch", pair[1].path("never")),))
    with pytest.raises(BootstrapFailed) as caught:
        played(BootstrapPlan((Stage("one", steps), Stage("two", {"n1": never}))), pair)
    assert caught.value.brief.startswith("head: the playbook's task `Run bash -c echo no such disk")
    assert (
        "exit status: 7\noutput: no such disk" in caught.value.details
        and not Path(pair[1].path("never")).exists()
    )


def test_another_host_key_is_refused(pair):
    def swapped(access):
        return access | {"n1": Access(access["n1"].endpoint, CLIENT, access["head"].host_key)}

    with pytest.raises(NodeUnreachable, match="n1 can't be reached") as caught:
        played(one(Step(commands=(("touch", pair[1].path("never")),)), "n1"), pair, change=swapped)
    assert "Host key verification failed" in caught.value.details
    assert not Path(pair[1].path("never")).exists()


def test_a_playbook_beyond_its_deadline_is_ended(pair):
    with pytest.raises(BootstrapFailed, match="didn't end in time") as caught:
        played(one(Step(commands=(("sleep", "300"),))), pair[1:], seconds=6)
    assert "cluster.bootstrap_deadline_s" in caught.value.resolution


def test_a_cancelled_playbook_leaves_nothing(pair):
    async def run():
        async with reached(pair) as access:
            began = asyncio.Event()
            plan = one(Step(commands=(("sleep", "300"),)), "head", "n1")
            playing = asyncio.create_task(
                play(plan, access, deadline=time.monotonic() + 300, clock=RecordingClock(began.set))
            )
            await began.wait()
            await asyncio.sleep(2)
            assert leftovers() != []
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing

    asyncio.run(run())
    assert leftovers() == []


def test_what_a_killed_driver_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    old = tmp_path / f"{module._PREFIX}{dead.pid}-x"
    living = tmp_path / f"{module._PREFIX}{os.getpid()}-x"
    for place in (old, living):
        place.mkdir()
    environment = os.environ | {"ANSIBLE_CONFIG": f"{old}/ansible.cfg"}
    lingering = subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True)
    clear_up()
    assert lingering.wait(10) == -9
    assert [*tmp_path.iterdir()] == [living]


def test_without_ansible_one_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        asyncio.run(play(one(Step()), {}, deadline=time.monotonic() + 10, clock=RecordingClock()))
    assert "[ansible]" in caught.value.resolution


def transcript(*lines):
    clock = RecordingClock()
    found = Transcript(clock)
    for line in lines:
        found.read(line if isinstance(line, str) else json.dumps(line))
    return found, clock.details


def failed(task, node, item="", **result):
    return {"event": "failed", "task": task, "node": node, "item": item, "result": result}


def test_a_transcript_knows_where_it_is_and_what_failed_first():
    found, details = transcript(
        {"event": "play", "name": "controller"},
        {"event": "task", "name": "Files"},
        failed("Files", "head", "/etc/b", msg="no space"),
        failed("Files", "n1", msg="later"),
    )
    assert details == ["controller"] and found.where == "controller, Files"
    error = found.failure(2)
    assert error.brief == "head: the playbook's task `Files (item=/etc/b)` failed"
    assert error.details == "msg: no space"


def test_an_unreachable_node_is_named():
    event = {**failed("Files", "n1", msg="Host key verification failed"), "event": "unreachable"}
    error = transcript(event)[0].failure(4)
    assert isinstance(error, NodeUnreachable)
    assert error.brief == "n1 can't be reached by Ansible's SSH in `Files`"


def test_a_playbook_that_ends_without_a_failed_task_shows_its_last_lines():
    found, _ = transcript("ERROR! couldn't resolve module/action 'x'", '{"event": torn', "{}")
    error = found.failure(4)
    assert error.brief == "ansible-playbook failed at its start"
    assert "exit status: 4" in error.details and "couldn't resolve" in error.details


def test_the_details_are_how_the_command_failed_or_what_the_module_said():
    command = {"cmd": ["ls", "a b"], "rc": 2, "stdout": "o", "stderr": "e", "msg": "non-zero"}
    assert task_details(command) == "command: ls 'a b'\nexit status: 2\noutput: e"
    assert task_details({"msg": "m", "stdout": "", "stderr": "e", "rc": 1}) == "msg: m\nstderr: e"
    assert task_details({"rc": 1}) == '{"rc": 1}'


def test_the_callback_tells_what_failed_for_which_item_and_no_secrets(tmp_path):
    """Real Ansible, on this machine alone."""
    playbook = """
- name: the play
  hosts: localhost
  gather_facts: false
  connection: local
  tasks:
    - name: tolerated
      ansible.builtin.command: "false"
      ignore_errors: true
    - name: looped
      ansible.builtin.command: ls {{ item }}
      loop: [/, /nonexistent]
      ignore_errors: {{ which }}
    - name: hidden
      ansible.builtin.command: ls /a/secret
      no_log: true
"""
    (tmp_path / "ansible.cfg").touch()

    def events(ignored):
        text = playbook.replace("{{ which }}", ignored)
        (tmp_path / "playbook.yml").write_text(text)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "-i", "localhost,"),
                *("-e", f"ansible_python_interpreter={sys.executable}", "playbook.yml"),
            ],
            cwd=tmp_path,
            env=module._environment(tmp_path),
            stdout=subprocess.PIPE,
            check=False,
        )
        assert b"secret" not in done.stdout
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert found[:2] == [
            {"event": "play", "name": "the play"},
            {"event": "task", "name": "tolerated"},
        ]
        return found[2:]

    looped, item, whole = events("false")
    assert looped == {"event": "task", "name": "looped"}
    assert (item["event"], item["node"], item["item"]) == ("failed", "localhost", "/nonexistent")
    assert item["result"]["cmd"] == ["ls", "/nonexistent"] and item["result"]["rc"] == 2
    assert (whole["event"], whole["item"]) == ("failed", "")
    _, hidden, censored = events("true")
    assert hidden == {"event": "task", "name": "hidden"}
    assert censored["event"] == "failed" and [*censored["result"]] == ["censored"]


def test_files_are_written_with_their_modes(tmp_path):
    write(tmp_path, [File("a/b", b"1", 0o644), File("s/t/u", b"2", 0o600, secret=True)])
    assert (tmp_path / "a/b").read_bytes() == b"1" and (tmp_path / "s/t/u").read_bytes() == b"2"
    assert (
        stat.S_IMODE((tmp_path / "s/t/u").stat().st_mode) == 0o600
        and stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    )
