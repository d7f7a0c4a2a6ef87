"""What the end of a campaign and its report say of a ladder."""

from dataclasses import replace

import pytest

from campaign.analysis.front.ladder import LadderFindings
from campaign.core.trials import TrialRecord
from campaign.report.ladder import HEADING, ladder_lines, ladder_sections

OBJECTIVES = {"wait": "minimize", "use": "maximize"}


def records(waits, uses, took_s):
    return [
        TrialRecord(
            number=number,
            point={"x": number},
            attempt=1,
            outcome="ok",
            metrics={"wait": float(wait), "use": float(use)},
            started=0.0,
            ended=took_s,
        )
        for number, (wait, use) in enumerate(zip(waits, uses, strict=True))
    ]


@pytest.fixture
def found():
    cheap = records(range(40), range(40), 0.5)
    dear = records(range(12), (5, 3, 8, 1, 9, 2, 7, 4, 6, 0, 11, 10), 60.0)
    return LadderFindings.of(cheap, dear, OBJECTIVES)


def test_the_end_says_what_was_saved_and_how_well_it_was_foretold(found):
    saved, foretold = ladder_lines(found)
    assert saved == (
        "40 points were tried in simulation in 20 s, 12 of them in trials too; trials of the other "
        "28 would have taken 28 min more."
    )
    assert "over 12 points: wait +1.00 (+1.00 to +1.00), use +0." in foretold


def test_too_few_points_tell_nothing(found):
    few = LadderFindings.of(records(range(40), range(40), 0.5), records([1], [1], 60), OBJECTIVES)
    assert list(ladder_lines(few))[1].startswith("How well the simulation foretold them can't be")
    assert "over 1 point:" in list(ladder_lines(few))[1]


def test_points_that_were_not_valid_or_had_lost_are_no_pairs(found):
    cheap = records(range(40), range(40), 0.5)
    dear = records(range(12), range(12), 60.0)
    spoilt = [replace_outcome(dear[0], "stalled"), *dear[1:]]
    lost = [one.model_copy(update={"ruled_out": "it has lost"}) for one in dear[:4]]
    assert LadderFindings.of(cheap, spoilt, OBJECTIVES).promoted == 12
    correlated = LadderFindings.of(cheap, [*lost, *dear[4:]], OBJECTIVES).correlations
    assert all(one.value != one.value for one in correlated)


def replace_outcome(record, outcome):
    return record.model_copy(update={"outcome": outcome})


def test_the_report_has_a_section_and_none_without_a_ladder(found):
    (section,) = ladder_sections(found)
    assert section.heading == HEADING
    assert list(ladder_sections(None)) == [] and list(ladder_lines(None)) == []
    assert LadderFindings.of([], records([1], [1], 60), OBJECTIVES) is None


def test_what_took_longer_than_it_saved_is_not_called_a_saving(found):
    slow = replace(found, rehearsal_s=100_000.0)
    assert "would have taken" not in next(ladder_lines(slow))
