"""What every scheduler adapter promises, as checks that any of them can be put through.

PROMISES need nothing but the adapter: they build plans and scripts and feed parsers. OUTCOMES are
about what a testbed, of virtual machines or simulated, brought home of `rehearsal(topology)` under
the adapter: one evaluation's jobs; ACCOUNTS about the same jobs where a real scheduler has kept its
own accounts of them. A promise that is not kept raises Broken with what was found.
"""

import base64
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from campaign.core.errors import WorkloadError
from campaign.schema.settings import Scalar, choices_of
from schedulers.base import (
    ASPECTS,
    BootstrapPlan,
    Fate,
    File,
    Node,
    Params,
    ParseError,
    Scheduler,
    Secrets,
    Topology,
    node_name,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from campaign.core.jobs import Job

SLOTS = 4
MEMORY_MIB = 512
PAYLOAD = "/bin/echo conforming"
SCRIPT = "/run/conformance/7.sh"
FOREIGN = ("", "\n", "no such thing", "{]", "\x00")
"""Answers that no tool gives when it works; a parser may take at most the empty ones for "nothing
there"."""
SHORTEST_SECRET = 8
ENDING_S = 5.0
"""How far the scheduler's own end of a job and the wrapper's may be apart, beside the resolution of
the former."""


class Broken(AssertionError):
    """An adapter doesn't keep a promise."""


def topology(compute: int) -> Topology:
    """A cluster with a head and so many compute nodes of four slots."""
    nodes = [Node("head", "head", "10.42.0.1", 0, MEMORY_MIB)]
    nodes += [
        Node(node_name(number), "compute", f"10.42.0.{number + 1}", SLOTS, MEMORY_MIB)
        for number in range(1, compute + 1)
    ]
    return Topology("conformance", tuple(nodes))


def job(width: int, *, number: int = 7, arrival_s: float = 0.0) -> "Job":
    """A job of a second, with a minute's limit."""
    from campaign.core.jobs import Job

    return Job(number, arrival_s, width, 1.0, 60.0, 0)


def other_values(params: type[Params]) -> Iterator[tuple[str, Scalar]]:
    """For each parameter, a value that is not its default."""
    for name, field in params.model_fields.items():
        options = choices_of(field) or tuple(
            bound
            for item in field.metadata
            for key in ("ge", "le")
            if (bound := getattr(item, key, None)) is not None
        )
        found = [option for option in options if option != field.default]
        if not found:
            raise Broken(f"parameter {name} has no choices and no bounds: a search can't vary it")
        yield name, field.annotation(found[0]) if field.annotation in (int, float) else found[0]


def plans_are_deterministic(scheduler: Scheduler) -> None:
    """Equal arguments give equal plans, in every byte."""
    secrets = scheduler.make_secrets()
    one, same = (_plan(scheduler, secrets=secrets) for _ in range(2))
    _require(one == same and one.digest == same.digest, "two plans of the same arguments differ")
    again = scheduler.reconfigure(topology(2), scheduler.Params(), {})
    _require(
        again == scheduler.reconfigure(topology(2), scheduler.Params(), {}),
        "two ways to reconfigure differ",
    )


def plans_are_complete(scheduler: Scheduler) -> None:
    """A plan takes every node of its cluster, none besides, and ends by asking whether all are
    ready."""
    for count in (1, 3):
        wanted = topology(count)
        plan = _plan(scheduler, count)
        named = {name for stage in plan.stages for name in stage.steps}
        _require(
            named == {node.name for node in wanted.nodes},
            f"the plan for {count} nodes has steps for {named}",
        )
        _require(
            any(step.probes for step in plan.stages[-1].steps.values()),
            "nobody asks whether the last stage is done",
        )
    for _, file in plan.files():
        _require(file.path.startswith("/"), f"{file.path} is not an absolute path")
    _require(
        _plan(scheduler, 1).digest != _plan(scheduler, 3).digest,
        "plans don't depend on the number of nodes",
    )


def every_parameter_reaches_the_plan(scheduler: Scheduler) -> None:
    """Another value of any parameter makes another plan, and another reconfiguration."""
    plain = (
        _plan(scheduler).digest,
        scheduler.reconfigure(topology(2), scheduler.Params(), {}).digest,
    )
    for name, value in other_values(scheduler.Params):
        params = scheduler.Params(**{name: value})
        changed = (
            _plan(scheduler, params=params).digest,
            scheduler.reconfigure(topology(2), params, {}).digest,
        )
        for what, old, new in zip(("plan", "reconfigure"), plain, changed, strict=True):
            _require(old != new, f"{what} is the same for {name}={value} and the default")


def reconfiguring_leaves_what_a_bootstrap_leaves(scheduler: Scheduler) -> None:
    """A file that `reconfigure` writes is the one that `plan` writes with the same parameters, on
    the same node."""
    for name, value in other_values(scheduler.Params):
        params = scheduler.Params(**{name: value})
        fresh = {(node, file.path): file for node, file in _plan(scheduler, params=params).files()}
        for node, file in scheduler.reconfigure(topology(2), params, {}).files():
            _require(
                fresh.get((node, file.path)) == file,
                f"{name}={value}: {node}:{file.path} differs from a fresh one",
            )


def secrets_stay_out_of_sight(scheduler: Scheduler) -> None:
    """Secrets are drawn anew for each cluster, stand in no printable form of a plan, and nobody
    else may read them."""
    secrets = scheduler.make_secrets()
    others = scheduler.make_secrets()
    plan = _plan(scheduler, secrets=secrets)
    _require(
        plan.digest == _plan(scheduler, secrets=others).digest,
        "the digest of a plan depends on its secrets",
    )
    printed = plan.describe() + repr(plan) + repr(secrets)
    for name, value in secrets.items():
        _require(
            len(value) < SHORTEST_SECRET or value != others[name],
            f"two clusters have the same {name}",
        )
        for form in _spellings(value):
            _require(form not in printed, f"{name} shows in print")
        for node, file in plan.files():
            _require(
                value not in file.content or _hidden(file),
                f"{name} is in {node}:{file.path}, open to others",
            )


def widths_become_nodes(scheduler: Scheduler) -> None:
    """A job gets at least one node and never more than there are; one that can't fit is refused by
    name."""
    small = topology(3)
    counts = [scheduler.nodes_needed(job(width), small) for width in range(1, small.slots + 1)]
    _require(
        counts == sorted(counts) and counts[0] == 1 and counts[-1] == 3,
        f"nodes for widths from 1: {counts}",
    )
    for width in (0, small.slots + 1):
        try:
            scheduler.nodes_needed(job(width), small)
        except WorkloadError as error:
            _require("job 7" in error.brief, f"the refusal of job 7 doesn't name it: {error.brief}")
        else:
            raise Broken(f"a job of {width} slots is accepted on {small.slots}")


def scripts_run_the_payload(scheduler: Scheduler) -> None:
    """Equal jobs have equal scripts, with the payload in them; submitting names the script, or
    reads it."""
    for width in (1, SLOTS, 2 * SLOTS):
        one, same = (scheduler.job_script(job(width), topology(2), PAYLOAD) for _ in range(2))
        _require(one == same, "two scripts of one job differ")
        _require(
            PAYLOAD.encode() in one, f"the script of a job of {width} slots doesn't run the payload"
        )
    _require(
        isinstance(scheduler.session_command(), tuple),
        "session_command() gives no arguments of a program",
    )
    command = scheduler.submit_command(job(1), topology(2), SCRIPT)
    _require(any(SCRIPT in word for word in command), f"{command} doesn't submit {SCRIPT}")


def foreign_answers_are_errors(scheduler: Scheduler) -> None:
    """What a tool can't have printed is a ParseError that keeps it: never a traceback, never a
    guess."""
    parsers: dict[str, Callable[[str], object]] = {
        "parse_submit": scheduler.parse_submit,
        "parse_pending": scheduler.parse_pending,
        "parse_accounting": scheduler.parse_accounting,
        "parse_version": scheduler.parse_version,
        "parse_config": scheduler.parse_config,
        "fate": scheduler.fate,
    }
    for name, parse in parsers.items():
        for text in FOREIGN:
            try:
                found = parse(text)
            except ParseError as error:
                _require(isinstance(error.raw, str), f"{name} forgets what it couldn't read")
                continue
            nothing = (
                not text.strip() and not found and name in ("parse_pending", "parse_accounting")
            )
            _require(nothing, f"{name}({text!r}) gives {found!r}")


def policies_speak_of_parameters(scheduler: Scheduler) -> None:
    """How a scheduler decides can be said of any parameters; what has no meaning in it is named as
    they are."""
    known = set(scheduler.Params.model_fields)
    for params in (
        scheduler.Params(),
        *(scheduler.Params(**{name: value}) for name, value in other_values(scheduler.Params)),
    ):
        policy = scheduler.policy(params)
        strangers = {*policy.ignored, *policy.timing} - known
        _require(
            not strangers,
            f"the policy names {', '.join(sorted(strangers))}, which are no parameters",
        )


def comparisons_are_answered(scheduler: Scheduler) -> None:
    """Whoever compares it with another scheduler gets a sentence for every aspect, and the same one
    each time."""
    said = scheduler.fairness()
    _require(
        said.keys() == ASPECTS.keys(),
        f"fairness() speaks of {sorted(said)}, not of {sorted(ASPECTS)}",
    )
    _require(all(text.strip() for text in said.values()), "fairness() leaves an aspect empty")
    _require(said == scheduler.fairness(), "fairness() says something else each time")


def adapters_travel(scheduler: Scheduler) -> None:
    """Adapters and plans go from process to process."""
    plan = _plan(scheduler)
    try:
        copy, same = pickle.loads(pickle.dumps((plan, scheduler)))  # noqa: S301 - our own bytes
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Broken(f"adapter or plan can't be sent to another process: {error}") from error
    _require(
        copy == plan and same.name == scheduler.name,
        "adapter or plan is another one after a journey",
    )


PROMISES: tuple[Callable[[Scheduler], None], ...] = (
    plans_are_deterministic,
    plans_are_complete,
    every_parameter_reaches_the_plan,
    reconfiguring_leaves_what_a_bootstrap_leaves,
    secrets_stay_out_of_sight,
    widths_become_nodes,
    scripts_run_the_payload,
    foreign_answers_are_errors,
    policies_speak_of_parameters,
    comparisons_are_answered,
    adapters_travel,
)


def rehearsal(scheduler: Scheduler, cluster: Topology) -> "pa.Table":
    """A workload for OUTCOMES (WORKLOAD_SCHEMA), on two nodes or more: narrow jobs beside each
    other, a whole node, a slot more than that; and with gangs, a job across the whole cluster
    before and one of two nodes after them.

    Without gangs, two jobs of several nodes each may wait for each other for ever. The slower a
    scheduler launches, the later the jobs come.
    """
    import pyarrow as pa

    from campaign.core.jobs import WORKLOAD_SCHEMA

    on_a_node = cluster.compute[0].slots
    widths = [1, 1, on_a_node, on_a_node + 1, 1]
    if scheduler.gangs:
        widths = [cluster.slots, *widths, 2 * on_a_node]
    pace_s = scheduler.launching_s / 50
    jobs = [
        job(width, number=number, arrival_s=number * pace_s)
        for number, width in enumerate(widths, start=1)
    ]
    return pa.Table.from_pylist([one._asdict() for one in jobs], schema=WORKLOAD_SCHEMA)


def every_job_is_one_row(scheduler: Scheduler, cluster: Topology, jobs: "pa.Table") -> None:
    """All jobs, each once, ended well."""
    expected = sorted(rehearsal(scheduler, cluster).column("job_id").to_pylist())
    _require(
        sorted(jobs.column("job_id").to_pylist()) == expected,
        "jobs are missing, or there are others",
    )
    bad = [
        row["job_id"] for row in jobs.to_pylist() if row["exit_code"] != 0 or row["end_ns"] is None
    ]
    _require(not bad, f"jobs {bad} didn't end well")


def jobs_have_all_their_nodes_at_once(
    scheduler: Scheduler, cluster: Topology, jobs: "pa.Table"
) -> None:
    """As many nodes as the adapter asks for, all begun before any ends; and never more slots in use
    than there are."""
    rows = jobs.to_pylist()
    for row in rows:
        wanted = scheduler.nodes_needed(job(row["width"]), cluster)
        _require(
            len(set(row["nodes"])) == wanted,
            f"job {row['job_id']} ran on {row['nodes']}, not on {wanted} nodes",
        )
        _require(
            row["start_ns"] <= row["all_started_ns"] < row["end_ns"],
            f"job {row['job_id']} began in pieces",
        )
    for row in rows:
        at = row["start_ns"]
        used = sum(one["width"] for one in rows if one["start_ns"] <= at < one["end_ns"])
        _require(
            used <= cluster.slots,
            f"{used} of {cluster.slots} slots are in use as job {row['job_id']} begins",
        )


def jobs_have_accounts(scheduler: Scheduler, cluster: Topology, jobs: "pa.Table") -> None:
    """The scheduler knows each job by an id of its own."""
    native = jobs.column("native_id").to_pylist()
    _require(all(native) and len(set(native)) == len(native), f"the jobs' native ids are {native}")


def accounts_agree(scheduler: Scheduler, cluster: Topology, jobs: "pa.Table") -> None:
    """The scheduler's own times of a job are the wrapper's, to its resolution and what launching
    and ending take."""
    pairs = (
        ("native_start_s", "start_ns", scheduler.launching_s),
        ("native_end_s", "end_ns", ENDING_S),
    )
    for row in jobs.to_pylist():
        for native, ours, takes_s in pairs:
            _require(row[native] is not None, f"job {row['job_id']} has no {native}")
            gap = abs(row[native] - row[ours] / 1e9)
            _require(
                gap <= takes_s + scheduler.resolution_s,
                f"job {row['job_id']}: {native} is {gap:.1f} s off",
            )


FATES: dict[int, Fate] = {1: "completed", 2: "failed", 3: "timeout", 4: "cancelled"}
"""How the jobs of `fates` are to end, by job id."""
FAILING = "/bin/bash -c 'exit 3'"
"""The payload of the job that fails."""


def fates() -> "pa.Table":
    """A workload of narrow jobs (WORKLOAD_SCHEMA) that end as FATES says, if the second one's
    payload is FAILING and the fourth is cancelled while it runs; the third runs for far longer than
    its time limit."""
    import pyarrow as pa

    from campaign.core.jobs import WORKLOAD_SCHEMA

    lasting = {3: (600.0, 5.0), 4: (600.0, 900.0)}
    jobs = [job(1, number=number, arrival_s=number / 10.0) for number in FATES]
    for index, one in enumerate(jobs):
        runtime_s, requested_s = lasting.get(one.job_id, (one.runtime_s, one.requested_s))
        jobs[index] = one._replace(runtime_s=runtime_s, requested_s=requested_s)
    return pa.Table.from_pylist([one._asdict() for one in jobs], schema=WORKLOAD_SCHEMA)


def fates_show_as_such(
    scheduler: Scheduler, expected: Mapping[int, Fate], jobs: "pa.Table"
) -> None:
    """The scheduler's accounts tell of each job how it ended."""
    found = {
        row["job_id"]: scheduler.fate(row["native_state"]) if row["native_state"] else "not known"
        for row in jobs.to_pylist()
        if row["job_id"] in expected
    }
    _require(found == dict(expected), f"jobs ended as {found}, not as {dict(expected)}")


OUTCOMES: tuple[Callable[[Scheduler, Topology, "pa.Table"], None], ...] = (
    every_job_is_one_row,
    jobs_have_all_their_nodes_at_once,
)
ACCOUNTS: tuple[Callable[[Scheduler, Topology, "pa.Table"], None], ...] = (
    jobs_have_accounts,
    accounts_agree,
)


def _plan(
    scheduler: Scheduler,
    compute: int = 2,
    params: Params | None = None,
    secrets: Secrets | None = None,
) -> BootstrapPlan:
    drawn = scheduler.make_secrets() if secrets is None else secrets
    return scheduler.plan(topology(compute), params or scheduler.Params(), drawn, {})


def _spellings(secret: bytes) -> Iterator[str]:
    if len(secret) >= SHORTEST_SECRET:
        yield secret.hex()
        yield base64.b64encode(secret).decode()
        yield repr(secret)[2:-1]


def _hidden(file: File) -> bool:
    return file.secret and not file.mode & 0o077


def _require(kept: Any, otherwise: str) -> None:
    if not kept:
        raise Broken(otherwise)
