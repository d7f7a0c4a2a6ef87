"""What survives on instances held out: verdicts, sentences, and how often they are right."""

import numpy as np
import pytest

from campaign.analysis.front.holdout import HoldoutFindings, UnseenChange, sentences
from campaign.core.trials import TrialRecord

OBJECTIVES = {"wait": "minimize", "use": "maximize"}


def trial(number, seen, unseen, baseline=False):
    """A trial by its values of wait and use, where the search looked and where it did not."""
    known = {"number": number, "point": {}, "attempt": 1, "outcome": "ok", "baseline": baseline}
    held_out = tuple(
        TrialRecord(**known, instance=1 + place, metrics=dict(zip(OBJECTIVES, values, strict=True)))
        for place, values in enumerate(unseen)
    )
    metrics = dict(zip(OBJECTIVES, seen, strict=True))
    return TrialRecord(**known, metrics=metrics, held_out=held_out)


def found(*points, baseline):
    return HoldoutFindings.of([*points, baseline], baseline, OBJECTIVES)


BASELINE = trial(0, (100, 0.5), [(90 + 5 * place, 0.5 + place / 100) for place in range(5)], True)
HALF = [(45 + 2 * place, 0.5 + place / 100) for place in range(5)]
WORSE = [(120 + 7 * place, 0.6 + place / 90) for place in range(5)]
UNCLEAR = [(90 + 5 * place + (-1) ** place * 4, 0.5) for place in range(5)]


def test_a_gain_that_holds_is_a_gain_and_equal_values_are_none():
    findings = found(trial(3, (50, 0.5), HALF), baseline=BASELINE)
    (point,) = findings.points
    assert point.changes["wait"].verdict == "better"
    assert point.changes["wait"].percent == pytest.approx(-51, abs=1)
    assert point.changes["use"].verdict == "same"
    told = list(sentences(findings, OBJECTIVES))
    assert told[0].startswith("Trial 3 is better than the baseline on 5 workloads that the search")
    assert "in wait (-51 %" in told[0] and "use" not in told[0]
    assert told[1].startswith("use of trial 3: the same as the baseline's there (+0 %")


def test_a_gain_that_does_not_hold_is_called_worse_or_not_confirmed():
    findings = found(trial(3, (50, 0.7), WORSE), baseline=BASELINE)
    told = " ".join(sentences(findings, OBJECTIVES))
    assert "wait of trial 3: worse than the baseline's there (+" in told
    findings = found(trial(3, (50, 0.5), UNCLEAR), baseline=BASELINE)
    told = " ".join(sentences(findings, OBJECTIVES))
    assert "No point of the front is certain to be better" in told
    assert "its gain (-50 % where the search looked) is not confirmed there" in told


def test_a_change_that_is_certain_but_negligible_is_no_gain():
    barely = [(0.998 * (90 + 5 * place), 0.5 + place / 100) for place in range(5)]
    findings = found(trial(3, (99, 0.5), barely), baseline=BASELINE)
    assert findings.points[0].changes["wait"].verdict == "same"
    assert "certain to be better" in next(sentences(findings, OBJECTIVES))


def test_the_best_point_has_most_gains_and_fewest_losses():
    findings = found(trial(3, (50, 0.7), WORSE), trial(4, (60, 0.5), HALF), baseline=BASELINE)
    assert findings.best.record.number == 4
    assert "Of 2 points of the front, 2 keep a gain there." in list(sentences(findings, OBJECTIVES))


def test_without_instances_held_out_nothing_is_found():
    assert found(trial(3, (50, 0.5), []), baseline=BASELINE) is None
    assert found(trial(3, (50, 0.5), HALF), baseline=trial(0, (1, 1), [], True)) is None


def test_few_instances_give_no_interval_and_no_gain():
    findings = found(
        trial(3, (50, 0.5), HALF[:3]), baseline=trial(0, (100, 0.5), [(90, 0.5)] * 3, True)
    )
    assert findings.points[0].changes["wait"].verdict == "unclear"
    assert findings.points[0].changes["wait"].words == "-48 %"


def test_a_change_that_rounds_to_nothing_has_no_minus():
    one = UnseenChange(-0.2, -0.4, -1.4, -0.3, "unclear")
    assert (one.brief, one.words) == ("+0 %", "+0 %, -1 to +0 %")


def test_a_baseline_of_nothing_has_no_percentage():
    baseline = trial(0, (0, 0.5), [(0, 0.5)] * 5, True)
    findings = found(trial(3, (0, 0.5), [(0, 0.5)] * 5), baseline=baseline)
    one = findings.points[0].changes["wait"]
    assert (one.verdict, one.words, one.brief) == ("unclear", "no value", "no value")
    assert "nan" not in " ".join(sentences(findings, OBJECTIVES))


def study(draw, points, instances):
    """Return the true changes, and what a campaign finds of the point that looked best in it.

    Jobs of an instance are hard for all points alike; each point has a factor of its own, half of
    the points none, and luck.
    """
    factors = np.where(np.arange(points) % 2, 1.0, draw.uniform(0.8, 1.2, points))
    hardness = draw.lognormal(0, 0.5, instances + 1)
    luck = draw.lognormal(-0.02, 0.2, (points + 1, instances + 1))
    waits = np.concatenate([[1.0], factors])[:, None] * hardness * luck
    best = 1 + int(np.argmin(waits[1:, 0]))
    rows = [[(wait, 0.5) for wait in waits[row, 1:]] for row in (0, best)]
    baseline = trial(0, (waits[0, 0], 0.5), rows[0], True)
    findings = found(trial(1, (waits[best, 0], 0.5), rows[1]), baseline=baseline)
    return 100 * (factors[best - 1] - 1), findings.points[0].changes["wait"]


@pytest.mark.parametrize("instances", [5, 10])
def test_intervals_cover_the_truth_and_false_gains_are_rare(instances):
    draw = np.random.default_rng(instances)
    results = [study(draw, 20, instances) for _ in range(200)]
    covered = np.mean([one.low <= truth <= one.high for truth, one in results])
    # What looked best by luck alone is no gain, whatever the search saw.
    luck = [one for truth, one in results if truth >= 0]
    false = np.mean([one.verdict == "better" for one in luck])
    assert 0.85 <= covered <= 0.95
    assert len(luck) > 50 and false <= 0.1
    assert np.mean([one.claimed < 0 for one in luck]) > 0.95
