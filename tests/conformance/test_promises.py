"""Every adapter that there is keeps every promise; and an adapter that breaks one is found out."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from campaign.core.errors import WorkloadError
from schedulers import conformance
from schedulers.base import BootstrapPlan, File, Scheduler, Secrets
from schedulers.conformance import PROMISES, Broken
from schedulers.registry import adapter, names
from schedulers.slurm.adapter import Slurm


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", names())
def test_it_is_kept(name: str, promise: Callable[[Scheduler], None]) -> None:
    promise(adapter(name))


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


class Numbered(Slurm):
    """Each plan is another one."""

    count = 0

    def plan(self, *arguments):
        Numbered.count += 1
        stamp = str(Numbered.count).encode()
        return mapped(
            super().plan(*arguments), lambda file: replace(file, content=file.content + stamp)
        )


class Partial(Slurm):
    """Forgets a node."""

    def plan(self, *arguments):
        plan = super().plan(*arguments)
        return BootstrapPlan(
            tuple(
                replace(one, steps={n: s for n, s in one.steps.items() if n != "n1"})
                for one in plan.stages
            )
        )


class Trusting(Slurm):
    """Never asks."""

    def plan(self, *arguments):
        plan = super().plan(*arguments)
        return BootstrapPlan(
            tuple(
                replace(one, steps={n: replace(s, probes=()) for n, s in one.steps.items()})
                for one in plan.stages
            )
        )


class Deaf(Slurm):
    """Passes on no parameter."""

    def plan(self, topology, params, secrets, facts):
        return super().plan(topology, self.Params(), secrets, facts)


class Forgetful(Slurm):
    """Reconfigures with another file than it bootstraps with."""

    def reconfigure(self, *arguments):
        return mapped(
            super().reconfigure(*arguments),
            lambda file: replace(file, content=file.content + b"#\n"),
        )


class Talkative(Slurm):
    """Marks no file as secret."""

    def plan(self, *arguments):
        return mapped(super().plan(*arguments), lambda file: replace(file, secret=False))


class Open(Slurm):
    """Lets everybody read the key."""

    def plan(self, *arguments):
        return mapped(super().plan(*arguments), lambda file: replace(file, mode=0o644))


class Stubborn(Slurm):
    """Never changes its parameters."""

    def reconfigure(self, topology, params, facts):
        return super().reconfigure(topology, self.Params(), facts)


class Rooted(Slurm):
    """Can't leave its process."""

    def __init__(self):
        self.here = lambda: None


class Shared(Slurm):
    """One key for all clusters."""

    def make_secrets(self):
        return Secrets(dict.fromkeys(super().make_secrets(), b"0123456789abcdef"))


class Greedy(Slurm):
    """Takes every job."""

    def nodes_needed(self, job, topology):
        try:
            return super().nodes_needed(job, topology)
        except WorkloadError:
            return 1


class Idle(Slurm):
    """Runs nothing."""

    def job_script(self, job, topology, payload):
        return super().job_script(job, topology, "true")


class Guessing(Slurm):
    """Takes whatever is printed for an id."""

    def parse_submit(self, text):
        return text.strip() or "1"


class Foreign(Slurm):
    """Speaks of parameters that it doesn't have."""

    def policy(self, params):
        return replace(super().policy(params), ignored=("bf_intervall",))


class Hopeful(Slurm):
    """Takes whatever became of a job for its good end."""

    def fate(self, state):
        return "completed"


class Silent(Slurm):
    """Leaves out what it isn't proud of."""

    def fairness(self):
        return {aspect: said for aspect, said in super().fairness().items() if aspect != "rates"}


class Curt(Slurm):
    """Has no words for it."""

    def fairness(self):
        return dict.fromkeys(super().fairness(), " ")


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
        (Hopeful, conformance.foreign_answers_are_errors, "fate"),
        (Silent, conformance.comparisons_are_answered, "speaks of"),
        (Curt, conformance.comparisons_are_answered, "empty"),
        (Foreign, conformance.policies_speak_of_parameters, "bf_intervall"),
        (Rooted, conformance.adapters_travel, "can't be sent"),
    ],
)
def test_who_breaks_it_is_found_out(
    broken: type[Slurm], promise: Callable[[Scheduler], None], said: str
) -> None:
    with pytest.raises(Broken, match=said):
        promise(broken())
