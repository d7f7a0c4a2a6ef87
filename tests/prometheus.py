"""Debian's Prometheus beside a campaign, with the project's own configuration, alerts and board."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import CANNOT_RUN_HERE

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples" / "monitoring"
ALERTS = EXAMPLES / "alerts.yaml"
START_S = 60


def program(name):
    """Find one of Prometheus' programs; the test is skipped where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{CANNOT_RUN_HERE}: there is no {name}. apt-get install prometheus brings it.")
    return found


def board_queries():
    """Every query of the board, by the panel's title."""
    for panel in json.loads((EXAMPLES / "grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$campaign", ".*")


def alert_queries():
    """The query of every alert, by its name."""
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])


def free_port():
    """A port of loopback that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@dataclass
class Prometheus:
    """A running one: it reads its target every second."""

    address: str
    began: float

    def times_read(self):
        """How often it has read the target with success."""
        found = self.values("sum(sum_over_time(up[1h]))")
        return float(found[0][1]) if found else 0

    def values(self, query):
        """What a query gives at this moment: campaigns and values."""
        found = self._ask("query", query=query)["result"]
        return [[one["metric"].get("campaign", ""), one["value"][1]] for one in found]

    def series(self, query):
        """What a query has given since the start: the labels of each series, and its values."""
        times = {"start": self.began, "end": time.time(), "step": "1s"}
        found = self._ask("query_range", query=query, **times)["result"]
        return [(one["metric"], [float(value) for _, value in one["values"]]) for one in found]

    def rules(self):
        """The alerts that it has loaded, by name, and what it says of their health."""
        rules = [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule["health"] for rule in rules}

    def _ask(self, what, **asked):
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            read = json.load(answer)
        assert read["status"] == "success", read
        return read["data"]


@contextmanager
def prometheus(target, folder):
    """Have a Prometheus read `target` with what the documents tell to use, until left."""
    config = yaml.safe_load((EXAMPLES / "prometheus.yaml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ALERTS)]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "p.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    options = (f"--config.file={folder}/p.yaml", f"--storage.tsdb.path={folder}/data")
    command = [program("prometheus"), *options, f"--web.listen-address={address}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            running = Prometheus(address, time.time())
            _wait_for(running, process)
            yield running
        finally:
            process.kill()


def _wait_for(running, process):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "Prometheus has ended"
        try:
            if running.rules():
                return
        except OSError:  # not ready
            pass
        time.sleep(0.2)
    raise AssertionError(f"Prometheus wasn't ready within {START_S} s")
