"""Nothing secret gets into a log: whatever a plan brings to nodes, its log names no key and no
token, whether the commands succeed or fail."""

import asyncio
import base64
import contextlib
import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.bootstrap.apply import BootstrapFailed, apply_plan
from actors.bootstrap.ssh import Remote
from actors.clusters.identity import credentials, draw_keys, macs, topology_of
from actors.hosts.host_actor import HostActor
from actors.hosts.slot import NodeBoot, NodeShape, Slot
from actors.hypervisor.capacity import Resources
from actors.hypervisor.node_spec import Multicast
from campaign.core import log
from campaign.core.errors import CampaignError
from schedulers.registry import adapter, names
from tests.adapters import bound
from tests.fakes.clock import RecordingClock

SHORTEST = 16
"""Lines of a secret file that are shorter are words of its format."""


class Connection:
    """A node on which every command ends with `status`, and shows what it was given."""

    def __init__(self, status):
        self.status = status
        self.commands = 0

    async def create_process(self, line, *, input=None, encoding=None):
        self.commands += 1
        output = (input or b"") if self.status else b""

        async def wait():
            return SimpleNamespace(exit_status=self.status)

        return SimpleNamespace(wait=wait, stdout=stream_of(output), stderr=stream_of(b""))


def stream_of(content):
    """Return a stream that gives `content` and then ends."""
    stream = asyncio.StreamReader()
    stream.feed_data(content)
    stream.feed_eof()
    return stream


def forms(secret):
    """A secret in every form in which a program might write it."""
    texts = {secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1]}
    with contextlib.suppress(UnicodeDecodeError):
        texts |= {line.strip() for line in secret.decode().splitlines()}
    return {text for text in texts if len(text) >= SHORTEST}


@pytest.fixture
def logged(tmp_path):
    """All that was logged so far, as text."""
    path = tmp_path / "log.jsonl"

    def read():
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return "\n".join(str(value) for line in lines for value in line.values())

    with log.to_file(path):
        yield read


async def no_other(deadline):
    raise AssertionError("the connection holds")


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("name", names())
def test_no_secret_of_a_plan_is_logged(name, status, logged, monkeypatch):
    topology = topology_of(2, 2, 1024)
    secrets = adapter(name).make_secrets()
    plan = bound(name).plan(topology, adapter(name).Params(), secrets)
    assert any(file.secret for _, file in plan.files()), "the test tests nothing"
    plan = SimpleNamespace(stages=[without_probes(stage) for stage in plan.stages])
    connection = Connection(status)
    remotes = {node.name: Remote(node.name, connection, no_other) for node in topology.nodes}
    applying = apply_plan(plan, remotes, deadline=time.monotonic() + 60, clock=RecordingClock())
    if status:
        with pytest.raises(BaseExceptionGroup) as caught:
            asyncio.run(applying)
        assert caught.group_contains(BootstrapFailed)
    else:
        asyncio.run(applying)
    text = logged()
    ended = text.count("exited with")
    # The first command that fails cancels those of the other nodes.
    assert 0 < ended <= connection.commands and (status or ended == connection.commands)
    hidden = [*secrets.values(), *(file.content for _, file in plan_files(plan) if file.secret)]
    open_lines = {
        line.strip()
        for _, file in plan_files(plan)
        if not file.secret
        for line in file.content.decode(errors="replace").splitlines()
    }
    told = {form for secret in hidden for form in forms(secret)} - open_lines
    assert told and [form for form in told if form in text] == []


def without_probes(stage):
    """Probes never come true on these nodes."""
    return replace(
        stage, steps={node: replace(step, probes=()) for node, step in stage.steps.items()}
    )


def plan_files(plan):
    return [
        (node, file)
        for stage in plan.stages
        for node, step in stage.steps.items()
        for file in step.files
    ]


def test_no_key_of_a_node_is_logged_by_its_host(logged):
    topology = topology_of(1, 2, 1024)
    keys = draw_keys(topology)
    image = SimpleNamespace(hash="hash")
    boots = [
        NodeBoot(node.name, image, macs(n), credentials(topology, node, keys, macs(n)))
        for n, node in enumerate(topology.nodes)
    ]
    slot = Slot("demo", (1, 2), Multicast("239.0.0.1", 1), None, Resources(), NodeShape(1, 1))

    class Refusing:
        def start(self, slot, boots):
            raise CampaignError(f"these can't be started: {boots}")

    actor = HostActor()
    actor._host = Refusing()
    actor._images = {"hash": image}
    with pytest.raises(CampaignError):
        actor.start(slot, boots)
    text = logged()
    assert "start failed: these can't be started" in text
    private = [keys.client.private, *(identity.private for identity in keys.hosts.values())]
    private += [content for boot in boots for content in boot.credentials.values()]
    told = {form for secret in private for form in forms(secret)}
    assert told and [form for form in told if form in text] == []
