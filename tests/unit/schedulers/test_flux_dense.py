"""Flux's nodes in one VM: brokers of one unit, told apart by name, port and socket."""

import tomllib
from typing import Any

from schedulers.base import BootstrapPlan, Step
from schedulers.flux.conf import CLUSTER_CONF, TEMPLATE_FILE, UNIT_FILE, cluster_toml
from schedulers.flux.params import FluxParams
from schedulers.samples import topology
from tests.adapters import bound

FLUX = bound("flux")
DENSE = topology(2, dense=True)


def made_by_vm(nodes: int) -> BootstrapPlan:
    cluster = topology(nodes, dense=True)
    plan = FLUX.plan(cluster, FluxParams(), FLUX.scheduler.make_secrets())
    return plan.by_guest(cluster)


def head_step(nodes: int = 2) -> Step:
    return made_by_vm(nodes).stages[0].steps["head"]


def conf(*, dense: bool) -> dict[str, Any]:
    return tomllib.loads(cluster_toml(topology(2, dense=dense), "flux").decode())


def content_of(path: str) -> str:
    return next(file.content.decode() for file in head_step().files if file.path == path)


def test_brokers_at_one_address_have_names_and_ports_of_their_own() -> None:
    hosts = tomllib.loads(content_of(CLUSTER_CONF))["bootstrap"]["hosts"]
    assert [(one["host"], one["bind"]) for one in hosts] == [
        ("head", "tcp://127.0.0.1:8050"),
        ("n1", "tcp://127.0.0.1:8051"),
        ("n2", "tcp://127.0.0.1:8052"),
    ]
    assert all(one["bind"] == one["connect"] for one in hosts)


def test_a_node_s_broker_is_an_instance_that_takes_its_name_for_the_host_s() -> None:
    template = content_of(TEMPLATE_FILE)
    assert " -Shostname=%i\n" in template
    assert "RuntimeDirectory=flux-%i\n" in template and "-Srundir=/run/flux-%i " in template
    assert "flux-broker-%i.log" in template
    assert [unit.name for unit in head_step().units] == [
        "flux.service",
        "flux@n1.service",
        "flux@n2.service",
    ]


def test_brokers_of_one_vm_wake_each_other_more_rarely() -> None:
    dense = conf(dense=True)
    apart = conf(dense=False)
    assert dense["heartbeat"] == {"period": "1m", "timeout": "0"}
    assert dense["tbon"] == apart["tbon"] | {"torpid_min": "1h"}
    assert "heartbeat" not in apart


def test_the_head_s_broker_is_where_programs_look_for_one() -> None:
    unit = content_of(UNIT_FILE)
    assert "-Slocal-uri=local:///run/flux/local " in unit
    assert "hostname" not in unit


def test_a_payload_finds_its_node_in_the_address_of_its_broker() -> None:
    assert "-Slocal-uri=local:///run/flux-%i/%i " in content_of(TEMPLATE_FILE)
    assert FLUX.payload_node(DENSE) == "${FLUX_URI##*/}"
    assert FLUX.payload_node(topology(2)) == ""


def test_fewer_nodes_restart_the_brokers_that_are_left() -> None:
    plan = FLUX.reconfigure(DENSE, FluxParams()).by_guest(DENSE)
    brokers = plan.stages[0].steps["head"]
    assert [unit.name for unit in brokers.units] == [unit.name for unit in head_step(2).units]
    assert FLUX.stop_command([DENSE.compute[1]]) == ("systemctl", "stop", "flux@n2.service")
