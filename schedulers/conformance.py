"""What every scheduler adapter promises, as checks that any of them can be put through.

PROMISES need nothing but the adapter and the facts of its image: they build plans and scripts, feed
parsers, and run health checks on a fake node. `campaign.analysis.conformance` has the checks of
what a testbed brings home. A promise that is not kept raises Broken with what was found.
"""

import base64
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from math import isfinite

from campaign.core.errors import WorkloadError
from campaign.schema.settings import Scalar, choices_of
from schedulers.base import (
    ASPECTS,
    BootstrapPlan,
    File,
    Params,
    ParseError,
    Role,
    Secrets,
    Topology,
)
from schedulers.broken import Broken, require
from schedulers.dense_conformance import dense_clusters_are_planned_or_refused
from schedulers.facts import ImageFacts
from schedulers.interface import BoundScheduler, Scheduler
from schedulers.lever_conformance import LEVER_PROMISES
from schedulers.renaming import RecordedFacts, mentions, renamed, said_by
from schedulers.samples import (
    BUILD,
    CLUSTER,
    FOREIGN,
    PAYLOAD,
    ROLES,
    SCRIPT,
    SLOTS,
    job,
    topology,
)
from schedulers.systemd_fake import FakeSystemd

# In bytes; shorter values may be equal, or show in a text, by chance.
SHORTEST_SECRET = 8
Promise = Callable[[Scheduler[Params], ImageFacts], None]


def other_values(params: type[Params]) -> Iterator[tuple[str, Scalar]]:
    """Yield each parameter with a value that is not its default."""
    for name, field in params.model_fields.items():
        bounds = [
            bound
            for item in field.metadata
            for key in ("ge", "le")
            if (bound := getattr(item, key, None)) is not None
        ]
        options = choices_of(field) or field.examples or bounds
        found = [option for option in options if option != field.default]
        if not found:
            raise Broken(f"parameter {name} has no choices and no bounds: a search can't vary it")
        yield name, field.annotation(found[0]) if field.annotation in (int, float) else found[0]


def plans_are_deterministic(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless equal arguments give equal plans, in every byte."""
    bound = scheduler.for_image(facts)
    secrets = scheduler.make_secrets()
    one, same = (_plan(bound, secrets=secrets) for _ in range(2))
    require(one == same and one.digest == same.digest, "two plans of the same arguments differ")
    again = bound.reconfigure(CLUSTER, scheduler.Params())
    require(
        again == bound.reconfigure(CLUSTER, scheduler.Params()), "two ways to reconfigure differ"
    )


def plans_are_complete(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless a plan takes every node of its cluster, and none besides.

    It must end by asking whether all are ready, and depend on the number of nodes.
    """
    bound = scheduler.for_image(facts)
    for count in (1, 3):
        wanted = topology(count)
        plan = _plan(bound, wanted)
        named = {name for stage in plan.stages for name in stage.steps}
        require(
            named == {node.name for node in wanted.nodes},
            f"the plan for {count} nodes has steps for {named}",
        )
        require(
            any(step.probes for step in plan.stages[-1].steps.values()),
            "nobody asks whether the last stage is done",
        )
    for _, file in plan.files():
        require(file.path.startswith("/"), f"{file.path} is not an absolute path")
    require(
        _plan(bound, topology(1)).digest != _plan(bound, topology(3)).digest,
        "plans don't depend on the number of nodes",
    )


def every_parameter_reaches_the_plan(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless another value of any parameter makes another plan.

    The same goes for a reconfiguration.
    """
    bound = scheduler.for_image(facts)
    plain = _plan(bound).digest
    unchanged = bound.reconfigure(CLUSTER, scheduler.Params()).digest
    for name, value in other_values(scheduler.Params):
        params = scheduler.Params(**{name: value})
        said = f"is the same for {name}={value} and the default"
        require(_plan(bound, params=params).digest != plain, f"plan {said}")
        changed = bound.reconfigure(CLUSTER, params).digest
        require(changed != unchanged, f"reconfigure {said}")


def reconfiguring_leaves_what_a_bootstrap_leaves(
    scheduler: Scheduler[Params], facts: ImageFacts
) -> None:
    """Raise Broken unless both plans write the same files with the same parameters.

    A file that `reconfigure` writes must be the one that `plan` writes, on the same node.
    """
    bound = scheduler.for_image(facts)
    for name, value in other_values(scheduler.Params):
        params = scheduler.Params(**{name: value})
        fresh = {(node, file.path): file for node, file in _plan(bound, params=params).files()}
        for node, file in bound.reconfigure(CLUSTER, params).files():
            require(
                fresh.get((node, file.path)) == file,
                f"{name}={value}: {node}:{file.path} differs from a fresh one",
            )


def renamed_facts_are_obeyed(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless an image that renames every fact is obeyed by all that is made for it.

    No old value may appear in any plan, command, probe, health check or log path, and each new one
    must appear. Every fact that the adapter reads must be in `facts`; their values there are the
    old ones.
    """
    recorded = RecordedFacts(facts.image, facts.values)
    # Only to see which facts are read.
    list(said_by(scheduler.for_image(recorded)))
    others = renamed(facts)
    said = list(said_by(scheduler.for_image(others)))
    for name in sorted(recorded.read):
        old = facts[name]
        for where, text in said:
            require(
                not mentions(text, old),
                f"{where} says {old!r} on an image whose fact {name} is {others[name]!r}",
            )
        require(
            any(others[name] in text for _, text in said),
            f"the fact {name} is read, and nothing obeys it",
        )


def health_checks_know_roles(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless health checks tell a healthy node of each role from any other.

    They must pass on a node that runs the units of its role, and fail when any of them stops and on
    a node of another role. The units of a role are those that the bootstrap plan starts on its
    nodes.
    """
    bound = scheduler.for_image(facts)
    units = _units_by_role(bound)
    with FakeSystemd() as systemd:
        for role in ROLES:
            health = f"health_command of a {role} node"
            one = next(node for node in CLUSTER.nodes if node.role == role)
            healthy = partial(systemd.succeeds, bound.health_command([one]))
            own = units[role]
            require(healthy(own), f"{health} fails with {sorted(own)}")
            for unit in sorted(own):
                require(not healthy(own - {unit}), f"{health} passes without {unit}")
            for other in ROLES:
                # Where the other role's nodes run all of these units, nothing tells them apart.
                told_apart = not own <= units[other]
                require(
                    not told_apart or not healthy(units[other]),
                    f"{health} passes on a {other} node",
                )


def secrets_stay_out_of_sight(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless secrets are new for each cluster, and hidden.

    They stand in no printable form of a plan, and only root or their owner may read them.
    """
    bound = scheduler.for_image(facts)
    secrets = scheduler.make_secrets()
    others = scheduler.make_secrets()
    plan = _plan(bound, secrets=secrets)
    require(
        plan.digest == _plan(bound, secrets=others).digest,
        "the digest of a plan depends on its secrets",
    )
    printed = plan.describe() + repr(plan) + repr(secrets)
    for name, value in secrets.items():
        require(
            len(value) < SHORTEST_SECRET or value != others[name],
            f"two clusters have the same {name}",
        )
        for form in _spellings(value):
            require(form not in printed, f"{name} shows in print")
        for node, file in plan.files():
            require(
                value not in file.content or _hidden(file),
                f"{name} is in {node}:{file.path}, open to others",
            )


def widths_become_nodes(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless a job gets at least one node and never more than there are.

    A job that can't fit must be refused with its number.
    """
    small = topology(3)
    counts = [scheduler.nodes_needed(job(width), small) for width in range(1, small.slots + 1)]
    require(
        counts == sorted(counts) and counts[0] == 1 and counts[-1] == 3,
        f"nodes for widths from 1: {counts}",
    )
    for width in (0, small.slots + 1):
        try:
            scheduler.nodes_needed(job(width), small)
        except WorkloadError as error:
            require("job 7" in error.brief, f"the refusal of job 7 doesn't name it: {error.brief}")
        else:
            raise Broken(f"a job of {width} slots is accepted on {small.slots}")


def scripts_run_the_payload(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless equal jobs have equal scripts with the payload in them.

    The command that submits must name the script.
    """
    bound = scheduler.for_image(facts)
    for width in (1, SLOTS, 2 * SLOTS):
        one, same = (bound.job_script(job(width), CLUSTER, PAYLOAD) for _ in range(2))
        require(one == same, "two scripts of one job differ")
        require(
            PAYLOAD.encode() in one, f"the script of a job of {width} slots doesn't run the payload"
        )
    require(
        isinstance(bound.session_command(), tuple),
        "session_command() gives no arguments of a program",
    )
    command = bound.submit_command(job(1), CLUSTER, SCRIPT)
    require(any(SCRIPT in word for word in command), f"{command} doesn't submit {SCRIPT}")


def foreign_answers_are_errors(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless text that a tool can't have printed is a ParseError that keeps it.

    It must be neither another error nor a guess.
    """
    bound = scheduler.for_image(facts)
    parsers: dict[str, Callable[[str], object]] = {
        "parse_submit": bound.parse_submit,
        "parse_pending": bound.parse_pending,
        "parse_accounting": bound.parse_accounting,
        "parse_config": bound.parse_config,
        "final_state": bound.final_state,
    }
    for name, parse in parsers.items():
        for text in FOREIGN:
            try:
                found = parse(text)
            except ParseError as error:
                require(isinstance(error.raw, str), f"{name} forgets what it couldn't read")
                continue
            nothing = (
                not text.strip() and not found and name in ("parse_pending", "parse_accounting")
            )
            require(nothing, f"{name}({text!r}) gives {found!r}")


def versions_are_recorded(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless `parse_version` makes a line of text of whatever a tool prints.

    A text that isn't the tool's own is kept: builds of sources call themselves by anything.
    """
    parse = scheduler.for_image(facts).parse_version
    for text in (*FOREIGN, BUILD):
        try:
            found = parse(text)
        except ParseError as error:
            raise Broken(f"parse_version({text!r}) raises ParseError") from error
        require(bool(found) and found.isprintable(), f"parse_version({text!r}) gives {found!r}")
    require(BUILD in parse(f"{BUILD}\n"), f"parse_version({BUILD!r}) loses it")


def policies_speak_of_parameters(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless there is a policy for any parameters.

    It must call those that it ignores by their names.
    """
    known = set(scheduler.Params.model_fields)
    for params in (
        scheduler.Params(),
        *(scheduler.Params(**{name: value}) for name, value in other_values(scheduler.Params)),
    ):
        policy = scheduler.policy(params)
        strangers = {*policy.ignored, *policy.timing} - known
        require(
            not strangers,
            f"the policy names {', '.join(sorted(strangers))}, which are no parameters",
        )


def comparisons_are_answered(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless there is a sentence for every aspect, and the same one each time."""
    said = scheduler.fairness()
    require(
        said.keys() == ASPECTS.keys(),
        f"fairness() speaks of {sorted(said)}, not of {sorted(ASPECTS)}",
    )
    require(all(text.strip() for text in said.values()), "fairness() leaves an aspect empty")
    require(said == scheduler.fairness(), "fairness() says something else each time")


def phases_have_limits(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless every phase of making a cluster has a limit, in seconds."""
    for phase, limit_s in asdict(scheduler.phase_limits).items():
        require(isfinite(limit_s) and limit_s > 0, f"the limit {phase} is {limit_s}")


def adapters_travel(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless adapters, bound or not, and plans go from process to process."""
    bound = scheduler.for_image(facts)
    secrets = scheduler.make_secrets()
    plan = _plan(bound, secrets=secrets)
    try:
        copy, same = pickle.loads(pickle.dumps((plan, bound)))  # noqa: S301 - our own bytes
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Broken(f"adapter or plan can't be sent to another process: {error}") from error
    require(
        copy == plan == _plan(same, secrets=secrets) and same.scheduler.name == scheduler.name,
        "adapter or plan is another one after a journey",
    )


PROMISES: tuple[Promise, ...] = (
    plans_are_deterministic,
    plans_are_complete,
    every_parameter_reaches_the_plan,
    reconfiguring_leaves_what_a_bootstrap_leaves,
    renamed_facts_are_obeyed,
    health_checks_know_roles,
    dense_clusters_are_planned_or_refused,
    secrets_stay_out_of_sight,
    widths_become_nodes,
    scripts_run_the_payload,
    foreign_answers_are_errors,
    versions_are_recorded,
    policies_speak_of_parameters,
    comparisons_are_answered,
    phases_have_limits,
    adapters_travel,
    *LEVER_PROMISES,
)


def _units_by_role(bound: BoundScheduler[Params]) -> dict[Role, set[str]]:
    roles = {node.name: node.role for node in CLUSTER.nodes}
    units: dict[Role, set[str]] = {role: set() for role in ROLES}
    for stage in _plan(bound).stages:
        for name, step in stage.steps.items():
            units[roles[name]] |= {unit.name for unit in step.units}
    return units


def _plan(
    bound: BoundScheduler[Params],
    cluster: Topology = CLUSTER,
    params: Params | None = None,
    secrets: Secrets | None = None,
) -> BootstrapPlan:
    drawn = bound.scheduler.make_secrets() if secrets is None else secrets
    return bound.plan(cluster, params or bound.scheduler.Params(), drawn)


def _spellings(secret: bytes) -> Iterator[str]:
    if len(secret) >= SHORTEST_SECRET:
        yield secret.hex()
        yield base64.b64encode(secret).decode()
        yield repr(secret)[2:-1]


def _hidden(file: File) -> bool:
    return file.secret and not file.mode & 0o077
