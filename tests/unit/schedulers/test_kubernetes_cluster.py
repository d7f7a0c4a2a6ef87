"""Kubernetes and Volcano on a cluster that is more than equal nodes: what nodes offer, what pods
ask for, how jobs rank and share."""

import json
import os
import subprocess

import pytest

from campaign.core.errors import SchedulerError, WorkloadError
from campaign.core.jobs import Job, JobTraits
from campaign.schema.model import ClusterSettings
from schedulers._kubernetes import dense
from schedulers._kubernetes.offers import GPU, MEMORY, SLOT, kubernetes_name, labels, offers_of
from schedulers.topologies import topology_of
from tests.adapters import bound

KUBE = bound("kube")
VOLCANO = bound("volcano")
BOTH = pytest.mark.parametrize("scheduler", [KUBE, VOLCANO], ids=["kube", "volcano"])
GROUPS = {
    "cpu": {"nodes": 2, "slots": 4, "memory_mib": 2048, "features": ["ib", "AVX_2"]},
    "gpu": {"nodes": 2, "slots": 8, "memory_mib": 8192, "gpus": 2, "gpu_type": "a100"},
}


def cluster(*, is_dense=False, **settings):
    read = ClusterSettings.model_validate({"groups": GROUPS, "dense": is_dense} | settings)
    return topology_of("c", 4, read, 512)


def job(width=1, number=5, **traits) -> Job:
    return Job(number, 0.0, width, 1.0, 60.0, 0, JobTraits(**traits))


def manifest_of(scheduler, one, topology) -> dict:
    return json.loads(scheduler.job_script(one, topology, "true"))


def pods_of(scheduler, one, topology) -> list[dict]:
    """The spec of each pod of the job."""
    spec = manifest_of(scheduler, one, topology)["spec"]
    if scheduler is KUBE:
        return [spec["template"]["spec"]] * spec["parallelism"]
    return [task["template"]["spec"] for task in spec["tasks"] for _ in range(task["replicas"])]


def asked(pod) -> dict[str, str]:
    (container,) = pod["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    return container["resources"]["requests"]


def allowed_nodes(pod, topology) -> list[str]:
    """The nodes on which Kubernetes would let the pod run, by its affinity and their labels."""
    rules = pod.get("affinity", {}).get("nodeAffinity", {})
    terms = rules.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get(
        "nodeSelectorTerms", [{"matchExpressions": []}]
    )
    assert all(one["operator"] == "In" for term in terms for one in term["matchExpressions"])
    return [
        node.name
        for node in topology.compute
        if any(
            all(labels(node).get(one["key"]) in one["values"] for one in term["matchExpressions"])
            for term in terms
        )
    ]


def kept_apart_from(pod) -> dict:
    (rule,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    return rule["labelSelector"]


def files_of(scheduler, topology, params=None) -> dict[str, bytes]:
    made = scheduler.plan(
        topology, params or scheduler.scheduler.Params(), scheduler.scheduler.make_secrets()
    )
    return {file.path: file.content for _, file in made.files()}


def objects_of(scheduler, topology, kind: str) -> list[dict]:
    """The objects of a kind that the plan makes."""
    files = files_of(scheduler, topology)
    made = [json.loads(text) for path, text in files.items() if "/objects/" in path]
    return [one for one in made if one["kind"] == kind]


@BOTH
def test_nodes_offer_what_their_groups_have(scheduler) -> None:
    """In one VM by what stands in for kubelets, else by a kubelet's labels and a patch."""
    alone, shared = (cluster(is_dense=dense) for dense in (False, True))
    nodes = json.loads(files_of(scheduler, shared)[dense.NODES_FILE])
    offered = {SLOT: "8", MEMORY: "8192", GPU: "2"}
    assert offered.items() <= nodes[2]["status"]["allocatable"].items()
    assert labels(shared.compute[2]).items() <= nodes[2]["metadata"]["labels"].items()
    made = scheduler.plan(alone, scheduler.scheduler.Params(), scheduler.scheduler.make_secrets())
    steps = {stage.name: stage.steps for stage in made.stages}
    patch = next(cmd for cmd in steps["slots"]["head"].commands if "/nodes/n3/" in cmd[-1])
    assert json.loads(patch[patch.index("-d") + 1])["status"]["capacity"] == offered
    kubelet = next(
        file.content.decode()
        for file in steps["daemons"]["n3"].files
        if file.path.endswith("kubelet.service")
    )
    told = kubelet.partition("--node-labels=")[2].split()[0]
    assert dict(one.split("=") for one in told.split(",")) == labels(alone.compute[2])


def test_a_cluster_of_equal_nodes_offers_slots_alone() -> None:
    plain = topology_of("c", 2, ClusterSettings(), 512)
    assert offers_of(plain.compute[0], plain) == {SLOT: "4"} and not labels(plain.compute[0])
    assert not [path for path in files_of(KUBE, plain) if "/objects/" in path]
    (pod,) = pods_of(KUBE, job(), plain)
    assert "affinity" not in pod and "priorityClassName" not in pod


@BOTH
@pytest.mark.parametrize(
    ("one", "nodes"),
    [
        (job(), ["n1", "n2", "n3", "n4"]),
        (job(features="ib&AVX_2"), ["n1", "n2"]),
        (job(features="ib|none"), ["n1", "n2"]),
        (job(gpus=1, gpu_type="a100"), ["n3", "n4"]),
        (job(partition="debug"), ["n1", "n2"]),
        (job(partition="day"), ["n1", "n2", "n3", "n4"]),
    ],
)
def test_pods_may_run_on_nodes_with_what_they_wish(scheduler, one, nodes) -> None:
    topology = cluster(partitions={"day": {}, "debug": {"groups": ["cpu"]}})
    (pod,) = pods_of(scheduler, one, topology)
    assert allowed_nodes(pod, topology) == nodes


@BOTH
def test_a_constraint_that_kubernetes_does_not_know_is_refused(scheduler) -> None:
    with pytest.raises(WorkloadError, match="job 5 wants nodes with features"):
        scheduler.scheduler.nodes_needed(job(features="ib&(a|b)"), cluster())


def test_pods_ask_for_memory_and_gpus_of_their_part() -> None:
    topology = cluster()
    wishes = {"gpus": 3, "memory_per_slot_mib": 100.5}
    # Pods of a Kubernetes Job are all alike.
    first, second = (asked(pod) for pod in pods_of(KUBE, job(9, **wishes), topology))
    assert first == second == {SLOT: "5", GPU: "2", MEMORY: "503"}
    first, second = (asked(pod) for pod in pods_of(VOLCANO, job(9, **wishes), topology))
    assert first == {SLOT: "5", GPU: "2", MEMORY: "503"}
    assert second == {SLOT: "4", GPU: "1", MEMORY: "402"}
    (whole,) = pods_of(VOLCANO, job(2, memory_per_node_mib=900.0), topology)
    assert asked(whole) == {SLOT: "2", MEMORY: "900"}


@BOTH
def test_pods_of_a_job_are_on_nodes_of_their_own(scheduler) -> None:
    """Also where two of them would fit one node; and alone there, if they wish."""
    own = {"matchLabels": {"campaign.dev/job": "j5"}}
    topology = cluster(partitions={"day": {}, "whole": {"exclusive": True}})
    asks_for_nodes = pods_of(scheduler, job(2, nodes=2), topology)
    assert [kept_apart_from(pod) for pod in asks_for_nodes] == [own, own]
    wide = pods_of(scheduler, job(14), topology)
    assert len(wide) == 2 and "affinity" not in wide[0]
    anybody = {"matchExpressions": [{"key": "campaign.dev/job", "operator": "Exists"}]}
    for one in (job(exclusive=True), job(partition="whole")):
        (pod,) = pods_of(scheduler, one, topology)
        assert kept_apart_from(pod) == anybody


RANKED = {
    "partitions": {"day": {}, "debug": {"priority_tier": 9}},
    "qos": {"low": {"priority": 10}, "high": {"priority": 4_000_000_000}},
}


@BOTH
def test_a_job_ranks_by_the_tier_of_its_partition_then_by_its_quality(scheduler) -> None:
    topology = cluster(**RANKED)
    classes = {one["metadata"]["name"]: one for one in objects_of(scheduler, topology, RANK)}
    # None ends another's pods, which Kubernetes does by itself.
    assert {one["preemptionPolicy"] for one in classes.values()} == {"Never"}
    wishes = [
        {},
        {"qos": "low"},
        {"qos": "high"},
        {"partition": "debug"},
        {"partition": "debug", "qos": "low"},
    ]
    manifests = [manifest_of(scheduler, job(**wish), topology) for wish in wishes]
    pods = [pods_of(scheduler, job(**wish), topology)[0] for wish in wishes]
    values = [classes[pod["priorityClassName"]]["value"] for pod in pods]
    assert values == sorted(set(values))
    if scheduler is VOLCANO:  # by its own class, it orders jobs
        assert [one["spec"]["priorityClassName"] for one in manifests] == [
            pod["priorityClassName"] for pod in pods
        ]


RANK = "PriorityClass"


def test_each_account_is_a_queue_with_its_share_and_sizes() -> None:
    accounts = {
        "physics": {"shares": 200, "in_all": {"max_slots": 9, "max_gpus": 0}},
        "Bio.1": {"shares": 300},
        "default": {"shares": 100},
    }
    topology = cluster(accounts=accounts, users={"ada": {"accounts": ["Bio.1"]}})
    found = {one["metadata"]["name"]: one["spec"] for one in objects_of(VOLCANO, topology, "Queue")}
    bio = kubernetes_name("Bio.1")
    weights = {name: spec["weight"] for name, spec in found.items()}
    assert weights == {"physics": 2, bio: 3, "account-default": 1}
    assert found["physics"]["capability"] == {SLOT: "9", GPU: "0"}
    assert "capability" not in found[bio]
    for traits, queue in (
        ({"account": "physics", "user_name": "ada"}, "physics"),
        ({"user_name": "ada"}, bio),
        ({}, "default"),
    ):
        assert manifest_of(VOLCANO, job(**traits), topology)["spec"]["queue"] == queue


@pytest.mark.parametrize("shares", [0, 70_000])
def test_shares_that_no_weight_of_volcanos_has_are_refused(shares: int) -> None:
    topology = cluster(accounts={"a": {"shares": shares}, "b": {"shares": 1}})
    with pytest.raises(SchedulerError, match=r"accounts\.a\.shares"):
        files_of(VOLCANO, topology)


def test_names_are_made_fit_and_stay_different() -> None:
    names = ["day", "Day", "day.", "_day", "d_y", "d.y", "___"]
    fit = [kubernetes_name(name) for name in names]
    assert fit[0] == "day" and len(set(fit)) == len(names)
    assert all(name == kubernetes_name(name) for name in fit)


FAKE_CURL = """#!/bin/bash
echo "$*" >>{log}
[[ $* == *http_code* ]] && printf %s {code}
true
"""


def fake_curl(folder, code="201"):
    """Put a `curl` into the folder that notes what it is asked for; its notes, and where it is."""
    log = folder / "log"
    (folder / "curl").write_text(FAKE_CURL.format(log=log, code=code))
    (folder / "curl").chmod(0o755)
    return log, os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize(("code", "done"), [("201", True), ("409", True), ("422", False)])
def test_objects_are_made_once(tmp_path, code: str, done: bool) -> None:
    made = VOLCANO.plan(
        cluster(**RANKED), VOLCANO.scheduler.Params(), VOLCANO.scheduler.make_secrets()
    )
    names = [stage.name for stage in made.stages]
    # Queues are of a kind that the controllers' stage makes known; the scheduler reads all.
    assert names.index("controllers") < names.index("objects") < names.index("scheduler")
    step = made.stages[names.index("objects")].steps["head"]
    assert len(step.commands) == len(step.files) == 6
    _, env = fake_curl(tmp_path, code)
    for command in step.commands:
        found = subprocess.run(command, env=env, check=False, capture_output=True)
        assert (found.returncode == 0) is done


@BOTH
def test_nodes_are_cordoned_emptied_and_used_again(scheduler, tmp_path) -> None:
    events = [
        {"at_s": 5, "group": "cpu", "becomes": "down"},
        {"at_s": 7, "node": "n3", "becomes": "drain"},
        {"at_s": 9, "group": "cpu", "count": 1, "becomes": "up"},
    ]
    log, env = fake_curl(tmp_path)
    found = scheduler.timed_commands(cluster(events=events))
    assert [at_s for at_s, _ in found] == [5, 5, 7, 9]
    for _, command in found:
        assert not any("\n" in word for word in command)
        subprocess.run(command, env=env, check=True)
    cordon, *emptied, drain, back = log.read_text().splitlines()
    assert cordon.endswith("/nodes/{n1,n2}") and '"unschedulable":true' in cordon
    assert [line.rpartition("spec.nodeName%3D")[2] for line in emptied] == ["n1", "n2"]
    assert all("DELETE" in line and '"gracePeriodSeconds":0' in line for line in emptied)
    assert drain.endswith("/nodes/{n3}") and '"unschedulable":true' in drain
    assert back.endswith("/nodes/{n1}") and '"unschedulable":false' in back


@BOTH
def test_a_job_is_submitted_as_its_user(scheduler) -> None:
    topology = cluster(users={"ada": {}})
    command = scheduler.submit_command(job(user_name="ada"), topology, "/s")[-1]
    assert "Impersonate-User: ada" in command
    assert "Impersonate" not in scheduler.submit_command(job(), topology, "/s")[-1]
