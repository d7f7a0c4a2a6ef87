"""Settings that a resume may not change, and words that no command takes: one message each."""

import pytest

from tests.fakes.commands import SMALL
from tests.unit.campaign.faults.conftest import MORE, Data

# What commands are forked from compiles the simulation first, which takes as long as it takes.
pytestmark = pytest.mark.timeout(900)

CHANGES = (
    "workload.jobs=6",
    "workload.seed=8",
    "workload.duration_s=11",
    "workload.load=0.5",
    "cluster.nodes=[1,4]",
    "cluster.nodes=3",
    "cluster.slots_per_node=3",
    "scheduler=flux",
    "scheduler=slurm-flux",
    "scheduler.params.bf_interval=3",
    "search.seed=8",
    "search.batch=2",
    "sampler=random",
    "objectives={makespan_s: minimize, node_hours: minimize}",
    "search.constraints.wait_p95_s.max=9",
    "testbed.policy=easy",
    "testbed=libvirt",
)

WRONG = {
    ("frobnicate",): "invalid choice",
    ("search", "search.trials=0"): "search.trials",
    ("search", "search.trials=many"): "search.trials",
    ("search", "no.such=1"): "no.such",
    ("search", "words"): "not of the form setting=value",
    ("search", "=1"): "form setting=value",
    ("search", "scheduler=none"): "scheduler",
    ("search", "scheduler=" + "a" * 300): "scheduler",
    ("search", "cluster.nodes=" + "[" * 300): "nested more than 50 deep",
    ("search", "cluster.nodes=2,4"): "cluster.nodes",
    ("search", "workload.jobs=1:30"): "workload.jobs",
    ("search", "output.results=~nouser/x"): "~nouser",
    ("search", "--config-dir", "/no/such"): "there is no folder",
    ("search", "--config-name", "none"): "there is no none.yaml",
    ("search", "--no-such-option"): "--no-such-option",
    ("report",): "which campaign?",
    ("report", "none"): "there is no campaign",
    ("report", "a", "b"): "neither a campaign nor a comparison",
    ("report", "compare", "a:0", "x"): "names no trial",
    ("report", "compare", "0", "1"): "no campaign",
    ("report", "compare", "a:0", "a:99"): "99",
    ("report", "../a"): "there is no campaign",
    ("report", "a", "--results", "/no/such"): "there is no campaign",
    ("report", "a\0b"): "",
    ("verify",): "name",
    ("verify", "none"): "there is no campaign",
    ("verify", "a", "--results", "/etc/passwd"): "there is no campaign",
    ("ui", "--port", "99999"): "",
    ("ui", "--port", "-1"): "",
    ("ui", "--mlruns", "/no/such"): "nothing to show yet",
    ("list", "--results", "a\0b"): "NUL",
    ("list", "--results", "~nouser/x"): "~nouser",
    ("export", "ansible", "a", "99"): "",
    ("workload", "show", "/no/such.swf"): "/no/such.swf",
    ("image", "show", "none"): "none",
    ("golden", "list", "hosts.local.uri=7"): "",
    ("host", "drain", "none", "--name", "a"): "",
    ("chaos", "--runs", "-1"): "--runs",
    ("bench", "none"): "none",
    ("completion", "tcsh"): "tcsh",
    ("clean", "no.such=1"): "no.such",
    ("doctor", "no.such=1"): "no.such",
}


@pytest.fixture(scope="module")
def resumed(commands, undisturbed):
    """How a resume with each of the changes ended."""
    each = [("search", *SMALL, f"search.trials={MORE}", change) for change in CHANGES]
    done = commands.run_each(each, at=undisturbed.place, setup=[("untracked",)])
    return dict(zip(CHANGES, done, strict=True))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_makes_another_campaign_is_refused_by_name(resumed, undisturbed, change):
    done = resumed[change]
    done.assert_refused("holds another campaign")
    assert change.partition("=")[0].partition(".")[0] in done.said and " -> " in done.said
    assert Data.at(undisturbed.place) == undisturbed.data


@pytest.fixture(scope="module")
def answers(commands, undisturbed):
    """What each of the wrong command lines is answered."""
    done = commands.run_each(list(WRONG), at=undisturbed.place, setup=[("untracked",)])
    return dict(zip(WRONG, done, strict=True))


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_words_that_a_command_does_not_take_are_one_message(answers, words):
    answers[words].assert_refused(WRONG[words])
