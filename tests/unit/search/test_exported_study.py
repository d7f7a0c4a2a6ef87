"""A campaign as a study: what failed, lies outside of the space or violates without limit."""

import json

from optuna.trial import TrialState

from campaign.schema.search import Bound
from search.exported_study import StudyFacts, journal_of
from search.space import Integer, Space
from tests.samples import OBJECTIVES, sample
from tests.unit.campaign.cli.test_export_study import loaded

NODES = "cluster.nodes"
SPACE = Space({NODES: Integer(1, 3)}, {}, ("slurm",))


def study_of(tmp_path, records, constraints=None):
    facts = StudyFacts("some", OBJECTIVES, constraints or {}, {"testbed": "libvirt"})
    file = tmp_path / "some.journal"
    file.write_bytes(journal_of(facts, SPACE, records, {NODES: "nodes"}))
    for line in file.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: 1 / 0)  # no infinity, no NaN
    return loaded(file)


def test_a_trial_that_failed_has_no_values_and_says_why(tmp_path):
    records = [sample(0).record, sample(1, outcome="stalled", reason="deadlock").record]
    good, bad = study_of(tmp_path, records).trials
    assert (good.state, bad.state) == (TrialState.COMPLETE, TrialState.FAIL)
    assert bad.user_attrs["outcome"] == "stalled" and bad.user_attrs["reason"] == "deadlock"


def test_a_value_outside_of_what_is_searched_is_no_parameter(tmp_path):
    inside, outside = study_of(tmp_path, [sample(0).record, sample(3).record]).trials
    assert inside.params == {"nodes": 1}
    assert outside.params == {} and outside.user_attrs["nodes"] == 4


def test_a_limit_that_no_value_keeps_to_makes_a_trial_infeasible(tmp_path):
    bound = {"wait_max_s": Bound(max=5.0)}  # which the samples don't have
    study = study_of(tmp_path, [sample(0).record], bound)
    assert study.best_trials == [] and len(study.trials) == 1
