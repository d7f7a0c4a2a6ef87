"""The phases: their names are those of ledgers, and each is told apart from the others."""

import json
import pickle

from campaign.core.phases import TIMED, UNTIL_READY, Phase


def test_the_names_in_ledgers_and_metrics_stay():
    assert " ".join(TIMED) == (
        "golden fallback placed started reachable ready first_job workload collected torn_down "
        "simulated"
    )
    assert Phase.FIRST_JOB.metric == "phase.first_job_s"
    assert json.dumps({Phase.READY: 1.0}) == '{"ready": 1.0}'


def test_what_the_workload_runs_in_is_measured_and_what_keeps_nodes_is_held():
    assert {phase for phase in Phase if phase.measured} == {"first_job", "workload", "simulated"}
    assert {phase for phase in TIMED if not phase.held} == {
        *("golden", "fallback", "placed", "simulated")
    }
    assert list(UNTIL_READY) == ["golden", "fallback", "placed", "started", "reachable", "ready"]
    assert set(Phase) - set(TIMED) == {Phase.JUDGED}


def test_labels_words_and_tones_are_all_different():
    for trait in ("label", "doing", "tone"):
        assert len({getattr(phase, trait) for phase in Phase}) == len(Phase), trait


def test_a_phase_crosses_processes():
    assert pickle.loads(pickle.dumps(Phase.READY)) is Phase.READY
