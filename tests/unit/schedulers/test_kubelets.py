"""The stand-in for kubelets, as a program against an API server that behaves."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedulers._kubernetes import kubelets
from tests.fakes.kube_api import serving, until, variable

LISTED = ("GET", "/api/v1/pods")


def node(name: str, cpu: str) -> dict:
    return {"metadata": {"name": name}, "status": {"capacity": {"cpu": cpu}}}


@pytest.fixture
def api(tmp_path: Path):
    with serving(tmp_path) as (store, kubeconfig):
        store.folder = tmp_path
        store.kubeconfig = kubeconfig
        (tmp_path / "nodes.json").write_text(json.dumps([node("n1", "4"), node("n2", "4")]))
        yield store


@contextmanager
def standing_in(store):
    words = [store.kubeconfig, store.folder / "nodes.json", store.folder / "ran"]
    store.requests.clear()
    process = subprocess.Popen([sys.executable, kubelets.__file__, *words])
    try:
        until(lambda: LISTED in store.requests or process.poll() is not None)
        yield process
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


def ended(store, name: str) -> dict:
    until(lambda: store.phase(name) in ("Succeeded", "Failed"))
    return store.pods[name]["status"]["containerStatuses"][0]["state"]["terminated"]


def codes(store) -> dict[str, int]:
    """The exit code of each pod that has ended, of those that are gone too."""
    return {
        pod["metadata"]["name"]: one["state"]["terminated"]["exitCode"]
        for _, _, pod in store.changes
        if pod
        for one in pod["status"].get("containerStatuses", ())
        if "terminated" in one["state"]
    }


def living(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def switches(pid: int) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("voluntary"))


def test_nodes_have_what_the_file_says_of_them(api) -> None:
    def found() -> list[str]:
        return [one["status"]["capacity"]["cpu"] for one in api.nodes.values()]

    with standing_in(api):
        assert found() == ["4", "4"]
    (api.folder / "nodes.json").write_text(json.dumps([node("n1", "4"), node("n2", "8")]))
    with standing_in(api):
        assert found() == ["4", "8"]


def test_a_pod_runs_its_own_command_once_it_has_a_node_of_ours(api) -> None:
    api.pod("early", f"echo $NODE_NAME $HOSTNAME >>{api.folder}/early", node="n1")
    with standing_in(api):
        api.pod("late", f"echo $NODE_NAME $HOSTNAME >>{api.folder}/late; exit 3")
        api.pod("foreign", f"touch {api.folder}/foreign", node="n3")
        assert ended(api, "early")["exitCode"] == 0
        assert not (api.folder / "late").exists()
        api.bind("late", "n2")
        assert ended(api, "late")["exitCode"] == 3
        phases = [api.phase(name) for name in ("early", "late", "foreign")]
    assert phases == ["Succeeded", "Failed", "Pending"]
    assert (api.folder / "early").read_text() == "n1 n1\n"
    assert (api.folder / "late").read_text() == "n2 n2\n"
    assert not (api.folder / "foreign").exists()


def test_a_pod_is_said_to_run_and_then_to_have_ended(api) -> None:
    with standing_in(api):
        api.pod("one", f"until [[ -e {api.folder}/go ]]; do sleep 0.05; done", node="n1")
        until(lambda: api.phase("one") == "Running")
        running = api.pods["one"]["status"]
        (api.folder / "go").touch()
        over = ended(api, "one")
        status = api.pods["one"]["status"]
    assert running["containerStatuses"][0]["state"]["running"]["startedAt"] == over["startedAt"]
    assert status["startTime"] == over["startedAt"] <= over["finishedAt"]
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert conditions["PodScheduled"] == "True" and conditions["Ready"] == "False"
    seen = [pod["status"]["phase"] for _, _, pod in api.changes]
    assert seen == ["Pending", "Running", "Succeeded"]


def test_a_deleted_pod_is_told_to_end_then_ended_and_then_gone(api) -> None:
    """One heeds the signal and leaves a child behind, one doesn't heed it."""
    heeds = f"trap 'exit 5' TERM; sleep 1000 & echo $! >{api.folder}/child; wait"
    with standing_in(api):
        api.pod("heeds", heeds, node="n1")
        api.pod("deaf", f"trap '' TERM; : >{api.folder}/deaf; sleep 1000", node="n2")
        until(lambda: all((api.folder / name).exists() for name in ("child", "deaf")))
        until(lambda: (child := (api.folder / "child").read_text()) and living(int(child)))
        begun = time.monotonic()
        api.delete("heeds", 1000)
        api.delete("deaf", 1)
        until(lambda: not api.phase("heeds") and not api.phase("deaf"))
        assert time.monotonic() - begun >= 1
        until(lambda: not living(int((api.folder / "child").read_text())))
    assert codes(api) == {"heeds": 5, "deaf": 137}


def test_a_pod_that_is_gone_ends_at_once_and_nothing_is_said_of_it(api) -> None:
    with standing_in(api):
        api.pod("lost", f"echo $$ >{api.folder}/pid; trap '' TERM; sleep 1000", node="n1")
        until(lambda: (api.folder / "pid").exists() and (api.folder / "pid").read_text())
        until(lambda: api.phase("lost") == "Running")
        said = len(api.requests)
        api.delete("lost", 0)
        until(lambda: not living(int((api.folder / "pid").read_text())))
    assert codes(api) == {} and len(api.requests) == said


def test_a_pod_that_was_deleted_before_it_began_never_runs(api) -> None:
    api.pod("late", f"touch {api.folder}/late", node="n1")
    api.delete("late", 30)
    with standing_in(api):
        until(lambda: not api.phase("late"))
    assert codes(api) == {"late": 137} and not (api.folder / "late").exists()


def test_a_pods_own_deadline_ends_it(api) -> None:
    limits = {"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 1}
    with standing_in(api):
        api.pod("long", "trap '' TERM; sleep 1000", node="n1", **limits)
        api.pod("tidy", "trap 'exit 0' TERM; sleep 1000 & wait", node="n1", **limits)
        found = [ended(api, name)["exitCode"] for name in ("long", "tidy")]
        reasons = {api.pods[name]["status"]["reason"] for name in ("long", "tidy")}
        phases = {api.phase(name) for name in ("long", "tidy")}
    assert found == [137, 0] and phases == {"Failed"} and reasons == {"DeadlineExceeded"}


def test_variables_are_values_or_fields_of_the_pod(api) -> None:
    """Controllers give pods a variable with a label of theirs."""
    of = variable("OF", "metadata.labels['example.org/of']")
    env = [of, {"name": "PLAIN", "value": "b"}, variable("UID_", "metadata.uid")]
    with standing_in(api):
        api.pod("one", f"echo $OF $PLAIN $UID_ >>{api.folder}/one", node="n1", env=env)
        assert ended(api, "one")["exitCode"] == 0
        api.pod("two", "true", node="n1", env=[variable("NO", "metadata.labels['none']")])
        assert ended(api, "two")["exitCode"] == 128
    assert (api.folder / "one").read_text() == f"a.job b {api.pods['one']['metadata']['uid']}\n"


def test_a_command_that_isnt_there_is_a_failure(api) -> None:
    with standing_in(api):
        api.pod("none", "", node="n1", containers=[{"name": "job", "command": ["/no/such"]}])
        api.pod("bare", "", node="n1", containers=[{"name": "job"}])
        assert [ended(api, name)["exitCode"] for name in ("none", "bare")] == [128, 128]


@pytest.mark.parametrize("hasty", [False, True], ids=["kept", "closed after each answer"])
def test_no_pod_runs_twice_whatever_is_forgotten(api, hasty: bool) -> None:
    api.hasty = hasty
    with standing_in(api):
        for name, where in (("stays", "n1"), ("goes", "n2")):
            runs = f"echo $NODE_NAME >>{api.folder}/{name}"
            api.pod(
                name, f"{runs}; until [[ -e {api.folder}/go ]]; do sleep 0.05; done", node=where
            )
        until(lambda: all(api.phase(name) == "Running" for name in ("stays", "goes")))
        api.delete("goes", 0)
        api.requests.clear()
        api.forget()
        until(lambda: LISTED in api.requests)
        (api.folder / "go").touch()
        assert ended(api, "stays")["exitCode"] == 0
        api.pod("next", "exit 7", node="n1")
        assert ended(api, "next")["exitCode"] == 7
    assert (api.folder / "stays").read_text() == "n1\n"
    assert (api.folder / "goes").read_text() == "n2\n"


def test_a_pod_that_has_ended_is_not_begun_by_late_news_of_it(api) -> None:
    """The server hears of its end only after having told of another change."""
    with standing_in(api):
        api.open.clear()
        api.pod("one", f"echo $$ >>{api.folder}/one", node="n1")
        until(lambda: (api.folder / "one").exists() and (api.folder / "one").read_text())
        until(lambda: not living(int((api.folder / "one").read_text())))
        api.touch("one")
        api.pod("two", f"touch {api.folder}/two", node="n1")
        until((api.folder / "two").exists)
        api.open.set()
        assert ended(api, "two")["exitCode"] == ended(api, "one")["exitCode"] == 0
        assert ended(api, "one")["reason"] == "Completed"


def test_one_that_is_started_anew_gives_up_what_ran(api) -> None:
    script = f"echo $$ >>{api.folder}/one; sleep 1000"
    with standing_in(api):
        api.pod("one", script, node="n1")
        until(lambda: api.phase("one") == "Running" and (api.folder / "one").exists())
    until(lambda: not living(int((api.folder / "one").read_text())))
    with standing_in(api):
        over = ended(api, "one")
    assert over["exitCode"] == 137 and over["reason"] == "ContainerStatusUnknown"
    assert len((api.folder / "one").read_text().split()) == 1


def test_nothing_is_asked_and_nobody_wakes_while_nothing_happens(api) -> None:
    with standing_in(api) as process:
        api.pod("one", "sleep 1000", node="n1")
        until(lambda: api.phase("one") == "Running")

        def quiet() -> bool:
            before = switches(process.pid), len(api.requests)
            time.sleep(1.5)
            return (switches(process.pid), len(api.requests)) == before

        until(quiet)
