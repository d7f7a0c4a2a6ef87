"""The daemons on head and nodes: their units, their configuration, their logs."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from schedulers._kubernetes import access, image, offers
from schedulers.base import File, Node, Topology

LOGS = "/var/log/kubernetes"
RENDEZVOUS_PORT = 6440
IMAGE_FILE = "/var/lib/campaign/node-image.tar"
_CONTAINERD_CONF = "/etc/containerd/config.toml"
_KUBELET_CONF = f"{access.FOLDER}/kubelet.json"
_CNI_CONF = "/etc/cni/net.d/host.conflist"
_RENDEZVOUS_PROGRAM = "/var/lib/campaign/rendezvous.py"
SESSION_PROGRAM = "/var/lib/campaign/session.py"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
_STORE = "http://127.0.0.1:2379"
_PEERS = "http://127.0.0.1:2380"
ETCD = "etcd.service"
API_SERVER = "kube-apiserver.service"
RENDEZVOUS = "rendezvous.service"
CONTAINERD = "containerd.service"
KUBELET = "kubelet.service"
_QUIET_STORE = (
    # A store without peers needs no heartbeats, and what it holds need not be on a disk soon.
    "--heartbeat-interval=2000",
    "--election-timeout=10000",
    "--backend-batch-interval=10s",
)
_QUIET_SERVER = (
    # The cache of each kind of object would wake every second.
    "--watch-cache=false",
    "--etcd-compaction-interval=0",
    "--etcd-count-metric-poll-period=0",
    "--etcd-db-metric-poll-interval=0",
    "--feature-gates=APIServerIdentity=false,DetectCacheInconsistency=false",
)
_CONTAINERD_TOML = f"""\
version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.nri.v1.nri",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image.NAME}"
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native" # the root file system is an overlay, on which no other one can stand
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def unit(
    name: str, *command: str, after: str = "", kind: str = "simple", kill: str = "process"
) -> File:
    """Return a unit that logs into a file of its own, which begins anew with each start.

    With `kill` as it is, processes that its daemon has started outlive it, as pods do a kubelet.
    """
    lines = (
        "[Unit]",
        f"Description={name.removesuffix('.service')}",
        *([f"After={after}", f"Wants={after}"] if after else ()),
        "[Service]",
        f"Type={kind}",
        f"ExecStart={shlex.join(command)}",
        f"StandardOutput=truncate:{log(name)}",
        "StandardError=inherit",
        f"KillMode={kill}",
        "LimitNOFILE=65536",
        "TimeoutStartSec=infinity",  # the plan has deadlines of its own
    )
    return File(f"/etc/systemd/system/{name}", ("\n".join(lines) + "\n").encode())


def log(name: str) -> str:
    """Return the file into which a unit's daemon logs."""
    return f"{LOGS}/{name.removesuffix('.service')}.log"


def json_file(path: str, value: Mapping[str, Any] | Sequence[Any]) -> File:
    """Return a configuration file; JSON is YAML too."""
    return File(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def head_files(topology: Topology) -> tuple[File, ...]:
    """Return the API server with its store, and the place where a job's pods meet. No secrets."""
    address = topology.head.address
    quiet = topology.dense
    programs = [
        program(_RENDEZVOUS_PROGRAM, "rendezvous.py"),
        program(SESSION_PROGRAM, "session.py"),
    ]
    return (
        _etcd(quiet),
        _api_server(address, quiet),
        _rendezvous(address),
        *programs,
        _log_folder(),
    )


def _etcd(quiet: bool) -> File:
    return unit(
        ETCD,
        "/usr/bin/etcd",
        "--data-dir=/var/lib/etcd-campaign",
        # The store ends with its cluster: nothing in it has to survive a crash.
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={_STORE}",
        f"--advertise-client-urls={_STORE}",
        f"--listen-peer-urls={_PEERS}",
        f"--initial-advertise-peer-urls={_PEERS}",
        f"--initial-cluster=default={_PEERS}",
        # An emulated node may stand still for a second: that is no reason for an election.
        *(_QUIET_STORE if quiet else ("--heartbeat-interval=500", "--election-timeout=5000")),
        kind="notify",
    )


def _api_server(address: str, quiet: bool) -> File:
    return unit(
        API_SERVER,
        "/usr/bin/kube-apiserver",
        f"--etcd-servers={_STORE}",
        f"--advertise-address={address}",
        f"--secure-port={access.PORT}",
        f"--tls-cert-file={access.CERTIFICATE_FILE}",
        f"--tls-private-key-file={access.KEY_FILE}",
        f"--token-auth-file={access.TOKENS_FILE}",
        "--anonymous-auth=false",
        # Only our own tokens get in, and a throw-away cluster has no users to keep apart.
        "--authorization-mode=AlwaysAllow",
        # Nothing uses service accounts, but the server doesn't start without keys for them.
        "--service-account-issuer=https://kubernetes",
        f"--service-account-key-file={access.CERTIFICATE_FILE}",
        f"--service-account-signing-key-file={access.KEY_FILE}",
        "--service-cluster-ip-range=10.96.0.0/24",
        # No controller runs that would make service accounts, or take the not-ready taint off new
        # nodes.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        "--endpoint-reconciler-type=none",
        "--enable-priority-and-fairness=false",
        "--profiling=false",
        *(_QUIET_SERVER if quiet else ()),
        kind="notify",
        after=ETCD,
    )


def _rendezvous(address: str) -> File:
    return unit(RENDEZVOUS, "/usr/bin/python3", _RENDEZVOUS_PROGRAM, address, str(RENDEZVOUS_PORT))


def node_files(node: Node) -> tuple[File, ...]:
    """Return container runtime and node agent of a compute node. No secrets."""
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "enableServer": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        # Must be empty where pods have no cgroups by their quality of service.
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        # Never: a pod that is put out would count as a failed job. Without any threshold, and
        # without the isolation below, the kubelet doesn't even look, which on an overlay it can't.
        "evictionHard": {"memory.available": "0%"},
        "failSwapOn": False,
        # Never collected: an image that is gone can't be fetched again.
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "maxPods": max_pods(node),
        "resolvConf": "",
    }
    cni = {"cniVersion": "1.0.0", "name": "host", "plugins": [{"type": "loopback"}]}
    labels = ",".join(f"{key}={value}" for key, value in offers.labels(node).items())
    agent = unit(
        KUBELET,
        "/usr/bin/kubelet",
        f"--config={_KUBELET_CONF}",
        f"--kubeconfig={access.KUBECONFIG}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        *([f"--node-labels={labels}"] if labels else ()),
        kind="notify",
        after=CONTAINERD,
    )
    return (
        File(_CONTAINERD_CONF, _CONTAINERD_TOML.encode()),
        unit(CONTAINERD, "/usr/bin/containerd", kind="notify"),
        # Pods have the node's network; without any network, the runtime isn't ready.
        json_file(_CNI_CONF, cni),
        json_file(_KUBELET_CONF, kubelet),
        agent,
        File(IMAGE_FILE, image.archive()),
        _log_folder(),
    )


def max_pods(node: Node) -> int:
    """Return how many pods a node may have."""
    # 110 is the kubelet's default, which a node of many slots would exceed.
    return max(110, 2 * node.slots)


def _log_folder() -> File:
    # systemd makes the log files, but not the folder that they stand in.
    return File(f"{LOGS}/.keep", b"")


def program(path: str, name: str) -> File:
    """Return the program `name` of this package, to stand at `path`."""
    return File(path, Path(__file__).with_name(name).read_bytes())
