"""Every adapter that there is keeps every promise; and an adapter that breaks one is found out."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from campaign.core.errors import ImageError, WorkloadError
from schedulers import conformance, systemd
from schedulers._kubernetes import daemons
from schedulers.base import BootstrapPlan, File, ParseError, PhaseLimits, Secrets, Unit
from schedulers.broken import Broken
from schedulers.conformance import PROMISES, Promise
from schedulers.dense_conformance import dense_clusters_are_planned_or_refused
from schedulers.facts import ImageFacts
from schedulers.flux.adapter import BoundFlux, Flux
from schedulers.kube.adapter import BoundKube, Kube
from schedulers.registry import adapter, names
from schedulers.slurm.adapter import BoundSlurm, Slurm
from schedulers.volcano.adapter import BoundVolcano, Volcano
from tests.adapters import facts_of, images_of


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(
    ("name", "image"), [(name, image) for name in names() for image in images_of(adapter(name))]
)
def test_it_is_kept(name: str, image: str, promise: Promise) -> None:
    promise(adapter(name), facts_of(adapter(name), image))


def mapped(plan: BootstrapPlan, change: Callable[[File], File]) -> BootstrapPlan:
    """The plan with other files."""
    return BootstrapPlan(
        tuple(
            replace(
                stage,
                steps={
                    node: replace(step, files=tuple(change(file) for file in step.files))
                    for node, step in stage.steps.items()
                },
            )
            for stage in plan.stages
        )
    )


class Numbered(BoundSlurm):
    """Each plan is another one."""

    count = 0

    def plan(self, *arguments):
        Numbered.count += 1
        stamp = str(Numbered.count).encode()
        return mapped(
            super().plan(*arguments), lambda file: replace(file, content=file.content + stamp)
        )


class Partial(BoundSlurm):
    """Forgets a node."""

    def plan(self, *arguments):
        plan = super().plan(*arguments)
        return BootstrapPlan(
            tuple(
                replace(one, steps={n: s for n, s in one.steps.items() if n != "n1"})
                for one in plan.stages
            )
        )


class Trusting(BoundSlurm):
    """Never asks."""

    def plan(self, *arguments):
        plan = super().plan(*arguments)
        return BootstrapPlan(
            tuple(
                replace(one, steps={n: replace(s, probes=()) for n, s in one.steps.items()})
                for one in plan.stages
            )
        )


class Deaf(BoundSlurm):
    """Passes on no parameter."""

    def plan(self, topology, params, secrets):
        return super().plan(topology, Slurm.Params(), secrets)


class Forgetful(BoundSlurm):
    """Reconfigures with another file than it bootstraps with."""

    def reconfigure(self, *arguments):
        return mapped(
            super().reconfigure(*arguments),
            lambda file: replace(file, content=file.content + b"#\n"),
        )


class Talkative(BoundSlurm):
    """Marks no file as secret."""

    def plan(self, *arguments):
        return mapped(super().plan(*arguments), lambda file: replace(file, secret=False))


class Open(BoundSlurm):
    """Lets everybody read the key."""

    def plan(self, *arguments):
        return mapped(super().plan(*arguments), lambda file: replace(file, mode=0o644))


class Stubborn(BoundSlurm):
    """Never changes its parameters."""

    def reconfigure(self, topology, params):
        return super().reconfigure(topology, Slurm.Params())


class Rooted(Slurm):
    """Can't leave its process."""

    def __init__(self):
        self.here = lambda: None


class Shared(Slurm):
    """One key for all clusters."""

    def make_secrets(self, draw=None):
        return Secrets(dict.fromkeys(super().make_secrets(), b"0123456789abcdef"))


class Greedy(Slurm):
    """Takes every job."""

    def nodes_needed(self, job, topology):
        try:
            return super().nodes_needed(job, topology)
        except WorkloadError:
            return 1


class Idle(BoundSlurm):
    """Runs nothing."""

    def job_script(self, job, topology, payload):
        return super().job_script(job, topology, "true")


class Guessing(BoundSlurm):
    """Takes whatever is printed for an id."""

    def parse_submit(self, text):
        return text.strip() or "1"


class Exact(BoundSlurm):
    """Wants a version to be what it is in Debian."""

    def parse_version(self, text):
        if not text.startswith("slurm-wlm "):
            raise ParseError("a version", text)
        return super().parse_version(text)


class Forgetting(BoundSlurm):
    """Has one word for every version that it doesn't know."""

    def parse_version(self, text):
        return "unknown"


class Foreign(Slurm):
    """Speaks of parameters that it doesn't have."""

    def policy(self, params):
        return replace(super().policy(params), ignored=("bf_intervall",))


class Hopeful(BoundSlurm):
    """Takes whatever became of a job for its good end."""

    def final_state(self, state):
        return "completed"


class Endless(Slurm):
    """Waits for its smoke test however long it takes."""

    phase_limits = PhaseLimits(boot_s=60.0, configure_s=60.0, smoke_test_s=float("inf"))


class Silent(Slurm):
    """Leaves out what it isn't proud of."""

    def fairness(self):
        return {aspect: said for aspect, said in super().fairness().items() if aspect != "rates"}


class Curt(Slurm):
    """Has no words for it."""

    def fairness(self):
        return dict.fromkeys(super().fairness(), " ")


class Debian(BoundSlurm):
    """Checks the units of Debian's packages, whatever the image calls them."""

    def health_command(self, nodes):
        daemon = "slurmctld.service" if nodes[0].role == "head" else "slurmd.service"
        return systemd.all_active(["munge.service", daemon])


class Elsewhere(BoundSlurm):
    """Keeps the configuration file that Debian has."""

    def log_files(self, node):
        return ("/etc/slurm/slurm.conf",)


class Sharing(BoundSlurm):
    """Gives all nodes of a VM one daemon."""

    def plan(self, topology, params, secrets):
        plan = super().plan(topology, params, secrets)
        if not topology.dense:
            return plan
        stages = [
            replace(
                stage,
                steps={
                    name: replace(step, units=tuple(map(self._shared, step.units)))
                    for name, step in stage.steps.items()
                },
            )
            for stage in plan.stages
        ]
        return BootstrapPlan(tuple(stages))

    def health_command(self, nodes):
        return systemd.all_active([self._shared(Unit(unit)).name for unit in self._asked(nodes)])

    def _asked(self, nodes):
        return ["munge.service", *map(self.names.daemon, nodes)]

    def _shared(self, unit):
        return Unit("slurmd@n1.service") if "slurmd@" in unit.name else unit


class Overzealous(BoundSlurm):
    """Stops every daemon of the VM."""

    def stop_command(self, nodes):
        return super().stop_command([*nodes, conformance.CLUSTER.head])


class Modest(Slurm):
    """Has plans that it doesn't know of."""

    shared_node_mib = 0


class Lumped(BoundSlurm):
    """Knows one log for all nodes of a VM."""

    def log_files(self, node):
        return super().log_files(replace(node, guest=""))


class Anonymous(BoundSlurm):
    """Lets no payload know on which node it is."""

    def payload_node(self, topology):
        return ""


class Careless(BoundSlurm):
    """Asks for the first daemon of a VM only."""

    def health_command(self, nodes):
        return super().health_command(nodes[:2])


class Keyless(BoundSlurm):
    """Has no use for munge's key, which it has asked the image for."""

    def plan(self, *arguments):
        return mapped(
            super().plan(*arguments),
            lambda file: replace(file, path="/run/key") if file.secret else file,
        )


class RootsFlux(BoundFlux):
    """Submits as the user that Debian's image has."""

    def submit_command(self, job, topology, script):
        return ("setpriv", "--reuid=flux", self.names.program, "job", "submit", script)


class DebiansFlux(BoundFlux):
    """Asks the program that Debian's image has."""

    def version_command(self):
        return ("/usr/bin/flux", "version")


class Unasked(BoundFlux):
    """Takes every node for healthy."""

    def health_command(self, nodes):
        return ("true",)


class AnyDaemon(BoundKube):
    """Forgets that `systemctl is-active` is content with one unit of several."""

    def health_command(self, nodes):
        return ("systemctl", "is-active", "--quiet", *self._units(nodes[0]))


class Unscheduled(BoundVolcano):
    """Checks the daemons of Kubernetes, and not those that schedule."""

    def health_command(self, nodes):
        if nodes[0].role == "compute":
            return super().health_command(nodes)
        return systemd.all_active((daemons.ETCD, daemons.API_SERVER, daemons.RENDEZVOUS))


def swapped(whole):
    """A bound class whose health checks take the head for a compute node, and the reverse."""

    class Swapped(whole):
        def health_command(self, nodes):
            other = "compute" if nodes[0].role == "head" else "head"
            return super().health_command([replace(node, role=other) for node in nodes])

    return Swapped


def on_images(scheduler, bound):
    """An adapter that is a `bound` when it is bound."""

    class Altered(scheduler):
        def for_image(self, facts):
            whole = super().for_image(facts)
            return bound(**{field.name: getattr(whole, field.name) for field in fields(whole)})

    return Altered()


@pytest.mark.parametrize(
    ("broken", "promise", "said"),
    [
        (Numbered, conformance.plans_are_deterministic, "differ"),
        (Partial, conformance.plans_are_complete, "has steps for"),
        (Trusting, conformance.plans_are_complete, "nobody asks"),
        (Deaf, conformance.every_parameter_reaches_the_plan, "plan is the same for SchedulerType="),
        (
            Stubborn,
            conformance.every_parameter_reaches_the_plan,
            "reconfigure is the same for SchedulerType=",
        ),
        (Forgetful, conformance.reconfiguring_leaves_what_a_bootstrap_leaves, "slurm.conf differs"),
        (Talkative, conformance.secrets_stay_out_of_sight, "depends on its secrets"),
        (Open, conformance.secrets_stay_out_of_sight, "open to others"),
        (Shared, conformance.secrets_stay_out_of_sight, "same munge.key"),
        (Greedy, conformance.widths_become_nodes, "is accepted"),
        (Idle, conformance.scripts_run_the_payload, "doesn't run the payload"),
        (Guessing, conformance.foreign_answers_are_errors, "parse_submit"),
        (Hopeful, conformance.foreign_answers_are_errors, "final_state"),
        (Exact, conformance.versions_are_recorded, "raises ParseError"),
        (Forgetting, conformance.versions_are_recorded, "'5a3fc0de-dirty'.* loses it"),
        (Silent, conformance.comparisons_are_answered, "speaks of"),
        (Curt, conformance.comparisons_are_answered, "empty"),
        (Foreign, conformance.policies_speak_of_parameters, "bf_intervall"),
        (Endless, conformance.phases_have_limits, "smoke_test_s is inf"),
        (Rooted, conformance.adapters_travel, "can't be sent"),
        (Debian, conformance.renamed_facts_are_obeyed, r"health_command .*'munge.service'"),
        (Elsewhere, conformance.renamed_facts_are_obeyed, r"log_files .*'/etc/slurm/slurm.conf'"),
        (
            Keyless,
            conformance.renamed_facts_are_obeyed,
            "munge.key is read, and nothing obeys it",
        ),
        (Sharing, dense_clusters_are_planned_or_refused, "n1 has no unit of its own"),
        (Overzealous, dense_clusters_are_planned_or_refused, "stop_command of n1 stops"),
        (Modest, dense_clusters_are_planned_or_refused, "although shared_node_mib is 0"),
        (Lumped, dense_clusters_are_planned_or_refused, "share logs"),
        (Anonymous, dense_clusters_are_planned_or_refused, "can't learn"),
        (Careless, dense_clusters_are_planned_or_refused, r"passes without slurmd@n2.service"),
        (swapped(BoundSlurm), conformance.health_checks_know_roles, "fails with"),
    ],
)
def test_who_breaks_it_is_found_out(broken: type, promise: Promise, said: str) -> None:
    one = broken() if issubclass(broken, Slurm) else on_images(Slurm, broken)
    with pytest.raises(Broken, match=said):
        promise(one, facts_of(one))


@pytest.mark.parametrize(
    ("scheduler", "broken", "said"),
    [
        (Flux, RootsFlux, "submit_command says 'flux'"),
        (Flux, DebiansFlux, "version_command says '/usr/bin/flux'"),
    ],
)
def test_who_ignores_a_fact_is_found_out(scheduler: type, broken: type, said: str) -> None:
    one = on_images(scheduler, broken)
    with pytest.raises(Broken, match=said):
        conformance.renamed_facts_are_obeyed(one, facts_of(one))


@pytest.mark.parametrize(
    ("scheduler", "broken", "said"),
    [
        (Kube, swapped(BoundKube), "fails with"),
        (Volcano, swapped(BoundVolcano), "fails with"),
        (Kube, AnyDaemon, "head node passes without"),
        (Volcano, Unscheduled, "head node passes without vc-controller-manager.service"),
        (Flux, Unasked, "head node passes without flux.service"),
    ],
)
def test_whose_health_checks_miss_a_daemon_is_found_out(
    scheduler: type, broken: type, said: str
) -> None:
    """Swapped roles can't show under Flux, whose brokers run as one unit on every node."""
    one = on_images(scheduler, broken)
    with pytest.raises(Broken, match=said):
        conformance.health_checks_know_roles(one, facts_of(one))


def test_a_missing_fact_is_told_with_its_image() -> None:
    facts = dict(facts_of(adapter("slurm")).values)
    del facts["unit.munge"]
    with pytest.raises(ImageError, match=r"image mine: it lacks the fact 'unit.munge'"):
        adapter("slurm").for_image(ImageFacts("mine", facts))
