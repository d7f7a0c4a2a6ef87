"""What tests with real VMs share: running commands as a user would, and proof that nothing is left
behind."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.hosts import ray_folder
from actors.hosts.state_dir import sweep
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd
from campaign.schema.hosts import HostSettings
from tests.limits import explain, watch_clocks
from tests.processes import command_lines

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Workplace:
    """Folders of one campaign under test, and its command line."""

    folder: Path
    image_store: Path

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def mlruns(self) -> Path:
        return self.folder / "mlruns"

    def command(self, *overrides: str) -> list[str]:
        """`hpc-campaign search` confined to this workplace."""
        ours = {
            "image.store": self.image_store,
            "hosts.local.state_dir": self.state_dir,
            "hosts.local.uri": "private",
            "output.results": self.results,
            "output.mlruns": self.mlruns,
            "output.log": "plain",
        }
        chosen = [
            f"{key}={value}"
            for key, value in ours.items()
            if not any(o.startswith(f"{key}=") for o in overrides)
        ]
        return [sys.executable, "-m", "campaign.search", *chosen, *overrides]

    def search(self, *overrides: str, timeout: float = 900) -> "subprocess.CompletedProcess[str]":
        """Run a search to its end."""
        return subprocess.run(
            self.command(*overrides),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def nodes(self) -> list[str]:
        """The domains of ours that run in this workplace's libvirt; looking starts it for a
        moment."""
        daemon = PrivateLibvirtd(self.state_dir)
        daemon.start()
        with Hypervisor(daemon.uri) as hypervisor:
            found = [domain.name for domain in hypervisor.ours()]
        if not found:
            daemon.stop()
        return found

    def clear(self) -> None:
        """End whatever a failed test left running."""
        sweep(HostSettings(uri="private", state_dir=str(self.state_dir)), everything=True)
        PrivateLibvirtd(self.state_dir).stop()

    def leftovers(self) -> list[str]:
        """What a finished or cleaned campaign must not leave: domains, run folders, processes of
        ours."""
        folders = self.state_dir / "nodes"
        left = [f"domain {name}" for name in self.nodes()]
        left += [f"folder {path}" for path in folders.glob("[!.]*")] if folders.is_dir() else []
        left += [f"Ray session {path}" for path in ray_folder.sweep()]
        return left + [f"process {line}" for line in processes_naming(str(self.state_dir))]


def processes_naming(text: str) -> list[str]:
    """Command lines of living processes other than ours that name `text`."""
    commands = (" ".join(words) for _, words in command_lines())
    return [command[:200] for command in commands if text in command]


@pytest.fixture(autouse=True, scope="session")
def phases_are_known():
    """A test that takes too long says what its trials were doing."""
    with pytest.MonkeyPatch.context() as patch:
        watch_clocks(patch)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    if call.excinfo is not None:
        explain(call.excinfo.value)
    return (yield)


@pytest.fixture(scope="session")
def golden_state(tmp_path_factory):
    """A host's folder that several modules use, one after the other: a golden cluster is made once
    for all of them."""
    return tmp_path_factory.mktemp("golden-clusters")


@pytest.fixture
def workplace(tmp_path, image_store):
    made = Workplace(tmp_path, image_store)
    yield made
    if made.state_dir.exists():
        made.clear()
