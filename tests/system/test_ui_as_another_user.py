"""Another user of the machine, with `hpc-campaign ui` running: no command of theirs runs, no file
is read, and nothing changes."""

import json
import os
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.processes import listening, tree
from tests.system.snooping import AS_NOBODY
from tests.system.ui import running

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user"),
]
# Each line of the output is the status of one attack and its name. The attacks on the assistant
# and on artifacts are those that once gave root's account and /etc/shadow to nobody.
ATTACKS = textwrap.dedent("""
    import json, os, re, socket, sys, urllib.error, urllib.request

    port, run = int(sys.argv[1]), sys.argv[2]
    two, three = "/api/2.0/mlflow", "/ajax-api/3.0/mlflow"
    provider = {"model": "m", "base_url": "http://127.0.0.1:9", "selected": True,
                "permissions": {"full_access": True}}
    attacks = [
        ("GET", "/", None),
        ("GET", "/?token=", None),
        ("GET", "/?token=guessed", None),
        ("PUT", f"{three}/assistant/config", {"providers": {"ollama": provider}}),
        ("POST", f"{three}/assistant/message", {"message": "hi"}),
        ("POST", f"{two}/experiments/create", {"name": "g", "artifact_location": "file:///tmp"}),
        ("POST", f"{two}/experiments/delete", {"experiment_id": "1"}),
        ("POST", f"{two}/runs/create", {"experiment_id": "1"}),
        ("POST", f"{two}/runs/search", {"experiment_ids": ["1"]}),
        ("GET", f"/get-artifact?run_uuid={run}&path=slurm.conf", None),
        ("GET", f"/get-artifact?run_uuid={run}&path=shadow", None),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x", {"x": 1}),
        ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/x", {"x": 1}),
        ("POST", "/graphql", {"query": "query Q { mlflowGetRun { run { info { runUuid } } } }"}),
        ("POST", "/ajax-api/3.0/jobs/", {}),
        ("GET", "/health", None),
        ("GET", "/metrics", None),
    ]
    assert os.getuid() == 65534
    for method, path, body in attacks:
        for cookie in ("", f"campaign_ui_{port}=guessed"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", json.dumps(body).encode() if body else None,
                {"Content-Type": "application/json", "Cookie": cookie}, method=method)
            try:
                status = urllib.request.urlopen(request, timeout=20).status
            except urllib.error.HTTPError as error:
                status = error.code
            print(status, method, path, cookie, flush=True)
""")


def _as_nobody(*command):
    command = ["/usr/bin/python3", "-c", *command]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, **AS_NOBODY
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one run, whose artifacts hold a link as an attacker would put there."""
    from campaign.tracking.store import open_store

    mlruns = tmp_path_factory.mktemp("ui") / "mlruns"
    client = open_store(mlruns)
    experiment = client.create_experiment("demo", str(mlruns / "artifacts" / "demo"))
    run = client.create_run(experiment).info
    client.log_text(run.run_id, "ClusterName=x", "slurm.conf")
    client.set_terminated(run.run_id)
    Path(run.artifact_uri, "shadow").symlink_to("/etc/shadow")
    return mlruns, run.run_id


@pytest.fixture(scope="module")
def ui(store, tmp_path_factory):
    """The running UI."""
    with running(store[0], tmp_path_factory.mktemp("home")) as started:
        yield started


def _contents(mlruns):
    return {
        path: path.read_bytes()
        for path in sorted(mlruns.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_all_that_another_user_asks_is_refused(ui, store):
    mlruns, run = store
    ui.wait_until_up()
    before = _contents(mlruns)
    attacked = _as_nobody(ATTACKS, str(ui.port), run)
    assert attacked.returncode == 0, attacked.stderr
    answers = attacked.stdout.splitlines()
    assert len(answers) == 34
    assert not [line for line in answers if not line.startswith(("401 ", "403 "))], answers
    assert _contents(mlruns) == before, "the store changed"
    assert not (ui.log.parent / ".mlflow").exists(), "MLflow's assistant was set up"


def test_another_user_finds_the_token_nowhere(ui, store):
    script = (
        "import pathlib, sys\n"
        "for pid in sys.argv[1:]:\n"
        "    for name in ('cmdline', 'environ', 'fd/1', 'mem'):\n"
        "        try: print(pathlib.Path('/proc', pid, name).read_bytes())\n"
        "        except OSError: pass\n"
    )
    seen = _as_nobody(script, str(ui.process.pid))
    assert seen.returncode == 0 and f"{ui.port}" in seen.stdout, seen.stderr
    assert ui.token not in seen.stdout


def test_the_ui_has_no_other_port(ui):
    ui.wait_until_up()
    assert listening(tree(ui.process.pid)) == {("127.0.0.1", ui.port)}


def test_who_has_the_token_reads_files_but_no_link(ui, store):
    _, run = store
    ui.wait_until_up()
    file = f"/get-artifact?run_uuid={run}&path"
    assert ui.ask(f"{file}=slurm.conf") == (200, b"ClusterName=x")
    status, body = ui.ask(f"{file}=shadow")
    assert status == 404 and b"root:" not in body
    assert ui.ask("/ajax-api/3.0/mlflow/assistant/sessions/x/stream")[0] == 403
    status, body = ui.ask("/ajax-api/3.0/mlflow/assistant/config")
    assert status == 200 and json.loads(body)["providers"] == {}
    assert not (ui.log.parent / ".mlflow").exists(), "MLflow's assistant was asked"
