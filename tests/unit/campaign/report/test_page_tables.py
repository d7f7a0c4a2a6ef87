"""The tables of a page as CSV and LaTeX."""

import csv
import io

from campaign.report.facts import CampaignFacts
from campaign.report.page import render
from campaign.report.page_tables import as_csv, as_latex, tables_of
from campaign.report.result import CampaignResult
from tests.samples import OBJECTIVES, campaign_samples, jobs_table, sample

PAGE = """<table data-name="front"><thead><tr><th>Trial</th><th class="n">Wait (s)</th></tr></thead>
<tbody><tr><th>1 <span class="sub">baseline</span></th>
<td class="n">2,5<span class="sub">-3 % &amp; more</span></td></tr>
<tr><th>a_b</th>
<td colspan="2">none\n here<details><summary>more</summary><pre>a log</pre></details></td></tr>
</tbody></table><table><tr><td>has no name</td></tr></table>"""


def test_cells_are_text_and_what_stands_below_a_value_is_parted_from_it():
    (table,) = tables_of(PAGE)
    assert table.heads == [["Trial", "Wait (s)"]]
    assert table.rows == [["1; baseline", "2,5; -3 % & more"], ["a_b", "none here; more", ""]]
    rows = list(csv.reader(io.StringIO(as_csv(table))))
    assert rows == [*table.heads, *table.rows]


def test_latex_has_all_columns_in_each_row_and_no_bare_sign():
    (table,) = tables_of(PAGE)
    text = as_latex(table)
    assert r"\begin{tabular}{@{}lrl@{}}" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [line.replace(r"\&", "").count("&") for line in lines] == [2, 2, 2]
    assert r"-3 \% \& more" in text and r"a\_b" in text


def test_every_table_of_a_page_is_read():
    samples = campaign_samples(12)
    records = [one.record for one in samples]
    page = render(CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES)), lambda _: None)
    tables = {table.name: table for table in tables_of(page)}
    assert set(tables) == {
        *("front", "checks", "provenance", "metrics", "trials", "phases", "phases-by-host")
    }
    assert len(tables["trials"].rows) == len(records)
    assert tables["trials"].heads[0][0] == "Trial"


def test_a_page_of_sixty_trials_of_three_thousand_jobs_is_below_two_megabytes():
    jobs = jobs_table(16, jobs=3_000)
    records = [
        sample(
            number,
            jobs=20,
            baseline=not number,
            metrics={"awrt_s": 100.0 + number, "node_hours": 100.0 - number},
        ).record
        for number in range(60)
    ]
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES, slots_per_node=4))
    assert len(result.front) == 60
    page = render(result, lambda _: jobs)
    assert len(page.encode()) < 2_000_000
    assert 2 <= page.count('class="chart gantt"') < 60
    assert "more points have no chart here" in page
