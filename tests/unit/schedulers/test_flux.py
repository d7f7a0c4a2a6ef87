"""The Flux adapter: what it builds is what Flux reads, and what Flux prints is read or refused.

Texts of Flux's tools were recorded from flux-core 0.88.0 with flux-sched 0.54.0.
"""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.errors import WorkloadError
from campaign.core.jobs import Job
from schedulers.base import ParseError
from schedulers.flux.conf import CLUSTER_CONF, SCHEDULER_CONF, certificate, scheduler_toml
from schedulers.flux.params import FluxParams
from schedulers.flux.queues import GRACE_S
from schedulers.samples import topology
from tests.adapters import bound

FLUX = bound("flux")
CLUSTER = topology(3)
RUNS_FLUXION = (
    '{"sched": "sched-fluxion-qmanager", "sched-fluxion-qmanager": {"queue-policy": "easy", '
    '"queue-params": '
    '"queue-depth=7", "policy-params": "reservation-depth=64", "default": {"queue-policy": '
    '"easy"}}, '
    '"sched-fluxion-resource": {"load-file": null, "load-allowlist": "node,core,gpu", "policy": '
    '"lonode", '
    '"match-format": "rv1_nosched"}}\n'
)
RUNS_BACKFILL = (
    '{"sched": "sched-backfill"}\n'
    "2026-11-25T15:12:15.826016Z sched-backfill.info[0]: ready: queue-depth=7 log-level=info "
    "pool-class=Rv1Pool Rv1\n"
)
LISTED = """\
{"id": 207483830272, "userid": 990, "t_submit": 1795619509.1291983, "state": 8, "name": "j2", "nnodes": 2}
{"id": 208456908800, "userid": 990, "state": 8, "annotations": {"sched": {"reason_pending": "insufficient resources"}}}
{"id": 206728855552, "userid": 990, "t_run": 1795619509.1144807, "state": 16, "name": "j1", "nodelist": "n[1-2]"}
"""  # noqa: E501 - as Flux printed it
ENDED = """\
{"id": 1, "t_run": 1795619511.018, "t_cleanup": 1795619512.0022, "state": 64, "exception_type": "timeout", "result": 8}
{"id": 2, "t_run": 1795619510.2066486, "t_cleanup": 1795619510.2768538, "state": 64, "success": false, "result": 2}
{"id": 3, "t_run": 1795619509.1144807, "t_cleanup": 1795619510.196033, "state": 64, "success": true, "result": 1}
{"id": 4, "t_cleanup": 1795619510.1, "state": 64, "exception_type": "cancel", "result": 4}
{"id": 5, "t_cleanup": 1795619510.2, "state": 64, "exception_note": "node failure on n2 (rank 2)", "result": 2}
"""  # noqa: E501 - as Flux printed it
VERSION = (
    "commands:    \t\t0.88.0\nlibflux-core:\t\t0.88.0\nlibflux-security:\t0.15.0\nbroker:  "
    "\t\t0.88.0\n"
)


def job(width: int) -> Job:
    return Job(7, 0.0, width, 5.0, 60.0, 0)


def spec(width: int) -> dict:
    return json.loads(FLUX.job_script(job(width), CLUSTER, "echo <it's>"))


def test_a_cluster_knows_its_brokers_and_what_they_offer() -> None:
    files = {(node, file.path): file.content for node, file in plan().files()}
    conf = tomllib.loads(files["n2", CLUSTER_CONF].decode())
    assert [host["host"] for host in conf["bootstrap"]["hosts"]] == ["head", "n1", "n2", "n3"]
    assert conf["bootstrap"]["hosts"][1]["bind"] == "tcp://10.42.0.2:8050"
    assert conf["resource"]["exclude"] == "head"
    assert {one["hosts"]: one["cores"] for one in conf["resource"]["config"]}["n3"] == "0-3"
    assert files["head", CLUSTER_CONF] == files["n1", CLUSTER_CONF]
    assert [node for node, path in files if path == SCHEDULER_CONF] == ["head"]


def plan(params: FluxParams = FluxParams()):  # noqa: B008 - frozen
    return FLUX.plan(CLUSTER, params, FLUX.scheduler.make_secrets())


def test_parameters_stand_where_flux_reads_them() -> None:
    fluxion = tomllib.loads(
        scheduler_toml(
            FluxParams(queue_policy="hybrid", queue_depth=9, match_policy="high")
        ).decode()
    )
    assert fluxion["modules"]["alternatives"]["sched"] == "sched-fluxion-qmanager"
    assert fluxion["sched-fluxion-qmanager"] == {
        "queue-policy": "hybrid",
        "queue-params": {"queue-depth": 9},
        "policy-params": {"reservation-depth": 64},
    }
    assert fluxion["sched-fluxion-resource"] == {"match-policy": "high"}
    core = tomllib.loads(scheduler_toml(FluxParams(sched="sched-fifo", queue_depth=9)).decode())
    assert core["modules"]["alternatives"] == {"sched": "sched-fifo", "feasibility": "sched-fifo"}
    assert core["modules"]["sched-fifo"]["args"] == ["queue-depth=9", "log-level=info"]


@pytest.mark.parametrize("sched", ["sched-fluxion-qmanager", "sched-simple"])
def test_another_scheduler_is_loaded_in_the_place_of_the_one_that_runs(sched: str) -> None:
    stages = FLUX.reconfigure(CLUSTER, FluxParams(sched=sched, queue_depth=9)).stages
    (command,) = stages[2].steps["head"].commands
    removed, _, loaded = command[-1].partition("config reload")
    assert removed.count("module remove --force") == 6
    assert ("sched-simple queue-depth=9 log-level=info" in loaded) == (sched == "sched-simple")
    assert f"module load {sched}" in loaded


def test_a_job_has_the_fewest_nodes_and_the_same_cores_on_each() -> None:
    for width, nodes, cores in ((1, 1, 1), (4, 1, 4), (5, 2, 3), (8, 2, 4), (9, 3, 3)):
        (node,) = spec(width)["resources"]
        assert (node["count"], node["with"][0]["with"][0]["count"]) == (nodes, cores)
        assert FLUX.scheduler.nodes_needed(job(width), CLUSTER) == nodes
    with pytest.raises(WorkloadError):
        FLUX.scheduler.nodes_needed(job(13), CLUSTER)


def test_a_job_runs_its_payload_once_a_node_and_has_time_for_its_launch() -> None:
    made = spec(5)
    (task,) = made["tasks"]
    assert task["command"] == ["/bin/bash", "-c", "echo <it's>"] and task["count"] == {
        "per_slot": 1
    }
    assert made["attributes"]["system"]["duration"] == 60.0 + GRACE_S


def test_the_owner_submits_and_asks() -> None:
    for command in (
        FLUX.submit_command(job(1), CLUSTER, "/run/x.sh"),
        FLUX.smoke_test_command(CLUSTER),
    ):
        assert command[:2] == ("setpriv", "--reuid=flux")
    assert "--user=flux" in FLUX.pending_command()


def test_answers_of_the_tools_are_read() -> None:
    assert FLUX.parse_submit("f6RxvRRy\n") == "206728855552"
    assert FLUX.parse_submit("ƒ6RxvRRy\n") == "206728855552"
    assert FLUX.parse_version(VERSION) == "0.88.0"
    assert FLUX.parse_pending(LISTED) == {
        "207483830272": "SCHED",
        "208456908800": "SCHED: insufficient resources",
        "206728855552": "",
    }


def test_ended_jobs_have_microseconds_and_a_final_state() -> None:
    found = FLUX.parse_accounting(ENDED)
    finals = {job: FLUX.final_state(times.state) for job, times in found.items()}
    assert finals == {
        "1": "timeout",
        "2": "failed",
        "3": "completed",
        "4": "cancelled",
        "5": "node_lost",
    }
    assert found["3"].end_s - found["3"].start_s == pytest.approx(1.081552, abs=1e-5)
    assert found["4"].start_s is None


def test_what_runs_is_read_back() -> None:
    assert FLUX.parse_config(RUNS_FLUXION) == {
        "sched": "sched-fluxion-qmanager",
        "queue_policy": "easy",
        "queue_depth": 7,
        "reservation_depth": 64,
        "match_policy": "lonode",
    }
    assert FLUX.parse_config(RUNS_BACKFILL) == {"sched": "sched-backfill", "queue_depth": 7}


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        ("parse_submit", "flux-job: job submission failed"),
        ("parse_submit", "f6Rxv0Ry"),  # no zero in base 58
        ("parse_pending", '{"id": "7", "state": 8}'),
        ("parse_pending", '{"id": 7, "state": 8, "annotations": {"sched": "soon"}}'),
        ("parse_accounting", '{"id": 7, "state": 64, "result": 3}'),
        ("parse_accounting", '{"id": 7, "state": 64, "result": 1, "t_run": "now"}'),
        ("parse_config", '{"sched": "sched-simple"}\n'),
        ("parse_config", RUNS_FLUXION.replace("queue-depth=7", "")),
        ("final_state", "RUN"),
    ],
)
def test_foreign_text_is_an_error(parse: str, raw: str) -> None:
    with pytest.raises(ParseError):
        getattr(FLUX, parse)(raw)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_certificates_hold_keys_as_zeromq_writes_them(secret: bytes, public: bytes) -> None:
    zmq_digits = (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    )

    def decoded(text: str) -> bytes:
        blocks = (text[at : at + 5] for at in range(0, len(text), 5))
        numbers = (
            sum(zmq_digits.index(digit) * 85**power for power, digit in enumerate(reversed(b)))
            for b in blocks
        )
        return b"".join(number.to_bytes(4) for number in numbers)

    lines = certificate(secret, public).decode().splitlines()
    keys = {
        name.strip(): value.strip('" ')
        for name, _, value in (line.partition(" = ") for line in lines)
    }
    assert (decoded(keys["secret-key"]), decoded(keys["public-key"])) == (secret, public)


@pytest.mark.parametrize(
    ("params", "reserve"),
    [
        ({}, "none"),
        ({"queue_policy": "easy"}, "first"),
        ({"queue_policy": "conservative"}, "some"),
        ({"queue_policy": "hybrid"}, "some"),
        ({"queue_policy": "hybrid", "reservation_depth": 1}, "first"),
        ({"sched": "sched-simple", "queue_policy": "easy"}, "none"),
        ({"sched": "sched-backfill"}, "first_brief"),
    ],
)
def test_policies_reserve_as_fluxs_do(params: dict, reserve: str) -> None:
    policy = FLUX.scheduler.policy(FluxParams(**params))
    assert policy.reserve == reserve and policy.loop is None and policy.even
    assert ("queue_policy" in policy.ignored) == ("sched" in params)
    assert ("queue_depth" in policy.ignored) == (reserve == "none")
    assert policy.depth == (0 if reserve == "none" else 32)
    some = {"conservative": 32, "hybrid": 64}
    assert policy.reservations == (some[params["queue_policy"]] if reserve == "some" else 0)
