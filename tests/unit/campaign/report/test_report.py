"""The report page and the front on a terminal: complete, self-contained, and safe with foreign
text."""

import io
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from rich.console import Console

from campaign.analysis.fairness import ManifestEntry
from campaign.analysis.metrics import METRICS
from campaign.core.host_load import HostLoad, LoadRange
from campaign.core.phases import TIMED, Phase
from campaign.report.chart_svg import alone
from campaign.report.chosen import spread_over
from campaign.report.design import DARK, JOB_TONES, LIGHT, script
from campaign.report.facts import (
    ABSENT,
    CampaignFacts,
    change,
    common,
    number,
    percent,
    seconds,
    shown,
)
from campaign.report.front_chart import front_charts
from campaign.report.labels import LABELS, Measure, in_words, measures
from campaign.report.page import check_lines, metric_rows, render, write
from campaign.report.phase_chart import phase_chart
from campaign.report.result import CampaignResult
from campaign.report.text import scatter, text_front, time_lines
from campaign.report.times import cost_of, phases_of
from campaign.schema.search import Bound
from search.pareto import front
from tests.samples import OBJECTIVES, campaign_samples, sample

EVIL = "<img src=x onerror=alert(1)></script>"
FACTS = CampaignFacts(
    "demo",
    OBJECTIVES,
    slots_per_node=4,
    command="hpc-campaign search name=demo",
    config="name: demo",
)


@pytest.fixture(scope="module")
def samples():
    return campaign_samples(12)


@pytest.fixture(scope="module")
def records(samples):
    return [one.record for one in samples]


@pytest.fixture(scope="module")
def jobs(samples):
    return {one.record.number: one.jobs for one in samples}.get


class Page(HTMLParser):
    """Collects a page's elements and visible text."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.words = []
        self._hidden = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(records, jobs):
    return Page(render(CampaignResult.of(records, FACTS), jobs))


def test_the_page_names_its_platform_and_every_trial(page, records):
    for words in (
        "9f2c1e77ab0d4c5e",
        "24.11.5",
        "tcg",
        "steal 0.31 fraction",
        "node n2: kernel panic",
        "attempt 2",
    ):
        assert words in page.text
    assert "trial 3 (0.31 fraction)" in page.text
    assert "hpc-campaign search name=demo" in page.text


def test_each_front_point_has_a_gantt_chart(page, records):
    charts = [
        attrs for tag, attrs in page.elements if tag == "svg" and "gantt" in attrs.get("class", "")
    ]
    best = front(records, OBJECTIVES)
    assert len(best) >= 2
    drawn = sorted(chart["aria-label"].split(":")[0] for chart in charts)
    assert drawn == sorted(f"trial {record.number}" for record in best)


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attrs in page.elements:
        for name in ("src", "href", "data", "action"):
            assert attrs.get(name, "").startswith(("data:", "#")) or not attrs.get(name), (
                tag,
                attrs,
            )
    policies = [attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv")]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]


def test_where_the_time_went_is_in_the_page(page, records):
    cost = cost_of(records, FACTS)
    assert f"of it running the workload {percent(cost.workload_share)}" in page.text
    assert f"the same, after the first trial {percent(cost.later_share)}" in page.text
    assert "clusters 11 restored, 1 booted" in page.text
    assert "1 trial: golden cluster file n1.ram was altered" in page.text
    for row in cost.rows:
        times = " ".join(map(seconds, (row.p50, row.p95, row.total)))
        shares = f"{percent(row.share)} {percent(cost.later_shares[row.label])}"
        assert f"{row.label} {row.count} {times} {shares}" in page.text
    assert [host.host for host in cost.hosts] == ["far", "local"]
    for phase, *spreads in zip(cost.phases, *(host.phases for host in cost.hosts), strict=True):
        times = [f"{seconds(one.p50)} / {seconds(one.p95)}" if one else ABSENT for one in spreads]
        assert f" {phase.label} {' '.join(times)} " in page.text
    assert page.text.endswith(f" {' '.join(percent(host.workload_share) for host in cost.hosts)}")


def test_the_figure_has_each_phase_in_a_tone_of_its_own(records):
    drawn = phase_chart(records)
    for phase in phases_of(records):
        assert phase.label in drawn and phase.tone in drawn
    assert len({phase.tone for phase in TIMED}) == len(TIMED)


def test_no_script_of_the_page_asks_anybody_for_anything(page):
    asking = ("fetch", "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "postMessage")
    own = script().replace("http://www.w3.org/2000/svg", "")
    assert not [word for word in (*asking, "import(", "window.open", "http") if word in own]
    assert not [attrs for tag, attrs in page.elements if tag == "form"]


def luminance(tone):
    parts = [int(tone[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """The contrast of two tones by WCAG 2.2."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("tones", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_4_5_to_1_and_marks_3_to_1(tones):
    for text in ("ink", "soft", "front", "good", "bad", "baseline"):
        for paper in ("paper", "wash"):
            assert contrast(tones[text], tones[paper]) >= 4.5, (text, paper)
    for job in ("failed", *(f"job{tone}" for tone in range(JOB_TONES))):
        assert contrast(tones["label"], tones[job]) >= 4.5, job
        assert contrast(tones[job], tones["wash"]) >= 3, job
    for mark in ("other", "queue"):
        assert contrast(tones[mark], tones["paper"]) >= 3, mark


def test_each_metric_has_a_name_in_words():
    assert set(LABELS) == set(METRICS)
    said = "awrt_s of trial 3: wait_p95_s[partition=gpu] and node_hours, search.cost=1, costs."
    assert (
        in_words("node_hours (-46 %, 5 s)")
        == "node-hours (-46\N{NO-BREAK SPACE}%, 5\N{NO-BREAK SPACE}s)"
    )
    assert in_words(said) == (
        "area-weighted response time of trial 3: 95th percentile of the wait of partition gpu and "
        "node-hours, search.cost=1, costs."
    )


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("wait_p95_s", 34_997.0, "9.721 h"),
        ("wait_p95_s", 45.0, "45 s"),
        ("wait_mean_s", 1_200.0, "20 min"),
        ("makespan_s", 2_000_000.0, "23.15 d"),
        ("utilisation", 0.8125, "81.25 %"),
        ("node_hours", 12.5, "12.5"),
        ("bounded_slowdown_mean", 152.0, "152"),
    ],
)
def test_values_stand_in_units_that_suit_them(name, value, written):
    assert Measure.of(name, "minimize", [value]).full(value) == written


def drawn_front(records, objectives=OBJECTIVES):
    """The chart's labels and texts under the mouse: of the front, and of what lies behind."""
    result = CampaignResult.of(records, CampaignFacts("demo", objectives))
    (chart,) = front_charts(result, measures(objectives, records))
    series = {one.name: one.marks for one in chart.points}
    best = series["Pareto front"]
    labels = [mark.label for mark in best]
    return labels, [mark.tip for mark in best], [mark.tip for mark in series["other trials"]]


def with_values(number, awrt_s, node_hours):
    point = {"cluster.nodes": 2, "scheduler.params.bf_interval": number}
    return sample(number, point=point, metrics={"awrt_s": awrt_s, "node_hours": node_hours}).record


def test_equal_points_are_one_marker_with_a_count():
    records = [with_values(number, 1.0, 10.0) for number in range(40)]
    records += [with_values(40, 5.0, 2.0)]
    records += [with_values(number, 9.0, 20.0) for number in (41, 42)]
    labels, hovers, behind = drawn_front(records)
    assert labels == ["0 \N{MULTIPLICATION SIGN}40", "40"]
    assert "the same values: trials 1, 2, 3" in hovers[0] and "and 27 more" in hovers[0]
    assert "the same values" not in hovers[1]
    assert len(behind) == 1 and "the same values: trial 42" in behind[0]


def test_the_chart_has_the_intervals_over_instances_and_marks_of_unseen_ones():
    records = [with_values(0, 2.0, 10.0), with_values(1, 5.0, 2.0)]
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES))
    span = SimpleNamespace(value=SimpleNamespace(low=1.0, high=4.0))
    own = SimpleNamespace(values=dict.fromkeys(OBJECTIVES, span))
    searched = SimpleNamespace(of_trial={0: own}.get)
    verdicts = zip(OBJECTIVES, ("better", "worse"), strict=True)
    changes = {name: SimpleNamespace(verdict=verdict) for name, verdict in verdicts}
    unseen = SimpleNamespace(of_trial={1: SimpleNamespace(changes=changes)}.get)
    known = replace(result, searched=searched, unseen=unseen)
    (chart,) = front_charts(known, measures(OBJECTIVES, records))
    one, other = next(series.marks for series in chart.points if series.name == "Pareto front")
    assert (one.across, one.up, other.across) == ((1.0, 4.0), (1.0, 4.0), None)
    assert (one.label, other.label) == ("0", "1 \u2713\u2717")
    assert chart.y.low <= 1.0
    assert alone(chart).count('class="interval front"') == 2


def test_labels_do_not_cover_each_other():
    records = [with_values(number, 1 + 0.001 * number, 10 - 0.001 * number) for number in range(9)]
    records += [with_values(9, 5.0, 2.0)]
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES))
    (chart,) = front_charts(result, measures(OBJECTIVES, records))
    texts = ElementTree.fromstring(alone(chart)).iter("{http://www.w3.org/2000/svg}text")
    labels = [text for text in texts if text.get("class") == "ink"]
    boxes = [
        (float(text.get("x")) - 6.4 * len(text.text) * (text.get("text-anchor") == "end"), text)
        for text in labels
    ]
    assert 2 <= len(labels) < 10 and "9" in [text.text for text in labels]
    for (left, text), (other_left, other) in itertools.combinations(boxes, 2):
        apart = abs(float(text.get("y")) - float(other.get("y"))) >= 12
        assert apart or abs(left - other_left) >= 6.4


def test_foreign_text_is_escaped_everywhere(jobs):
    spoilt = [
        sample(0, reason=EVIL, host=EVIL, provenance={"kernel": EVIL, EVIL: "x"}).record,
        sample(1, point={"cluster.nodes": 2, EVIL: EVIL}).record,
    ]
    facts = CampaignFacts(
        EVIL,
        OBJECTIVES,
        fixed={EVIL: EVIL},
        workload={EVIL: EVIL},
        config=EVIL,
        command=EVIL,
        config_hash=EVIL,
    )
    page = Page(render(CampaignResult.of(spoilt, facts), jobs))
    assert not [attrs for tag, attrs in page.elements if tag == "img" or "onerror" in attrs]
    assert page.text.count("onerror=alert(1)") >= 8


def test_a_campaign_without_a_front_still_has_a_report(jobs):
    records = [sample(0, outcome="stalled", metrics={}).record]
    assert "None of 1 trials" in Page(render(CampaignResult.of(records, FACTS), jobs)).text
    assert "None of 0 trials" in Page(render(CampaignResult.of([], FACTS), jobs)).text


def test_infeasible_trials_are_called_so(records, jobs):
    facts = CampaignFacts("demo", OBJECTIVES, constraints={"awrt_s": Bound(max=1e-6)})
    page = Page(render(CampaignResult.of(records, facts), jobs))
    assert "infeasible" in page.text
    assert "None of 12 trials" in page.text


def test_three_objectives_have_a_chart_for_each_pair(records, jobs):
    page = render(
        CampaignResult.of(
            records, CampaignFacts("demo", {**OBJECTIVES, "utilisation": "maximize"})
        ),
        jobs,
    )
    charts = re.findall(r'<svg [^>]*class="chart broad"[^>]*aria-label="([^"]*)"', page)
    pairs = [chart.partition(" of ")[0] for chart in charts]
    assert pairs == [
        "area-weighted response time against node-hours",
        "area-weighted response time against utilisation",
        "node-hours against utilisation",
    ]


def test_the_page_appears_whole_or_not_at_all(tmp_path, records, jobs):
    target = write(tmp_path / "demo" / "report.html", CampaignResult.of(records, FACTS), jobs)
    assert target.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert list(target.parent.iterdir()) == [target]


def test_the_metrics_of_the_front_stand_beside_each_other(page, records):
    titles = [attrs["title"] for tag, attrs in page.elements if tag == "th" and "title" in attrs]
    assert titles == [metric.defined("10 s") for metric in METRICS.values()]
    best = front(records, OBJECTIVES)
    values = " ".join(number(record.metrics["utilisation"]) for record in best)
    assert f" utilisation fraction {values} " in page.text
    assert f"Source: {METRICS['awrt_s'].source}." in page.text
    assert f" backfill_rate fraction {ABSENT} " in page.text


def test_a_metric_without_a_value_gives_its_reason_once_for_neighbours():
    why = "all jobs arrived at once"
    told = [
        sample(number, absent={"utilisation_steady": why, "cost": str(number == 0)}).record
        for number in range(3)
    ]
    told[2] = told[2].model_copy(
        update={"metrics": {**told[2].metrics, "utilisation_steady": 0.5}, "absent": {}}
    )
    rows = {row.name: row for row in metric_rows(told, FACTS)}
    cells = {
        name: [(cell.text, cell.is_value, cell.span) for cell in rows[name].cells] for name in rows
    }
    assert cells["utilisation_steady"] == [(why, False, 2), ("0.5", True, 1)]
    assert cells["cost"] == [("True", False, 1), ("False", False, 1), (ABSENT, False, 1)]
    assert [is_value for _, is_value, _ in cells["awrt_s"]] == [True] * 3


def test_a_reason_is_in_the_page(jobs):
    page = Page(
        render(CampaignResult.of([sample(0, absent={"fairness_jain": EVIL}).record], FACTS), jobs)
    )
    assert f" fairness_jain {EVIL} " in page.text
    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_a_long_front_is_thinned_evenly_to_what_a_table_holds(records):
    many = [records[0].model_copy(update={"number": number}) for number in range(22)]
    assert [record.number for record in spread_over(many, 8)] == [0, 3, 6, 9, 12, 15, 18, 21]
    assert spread_over(many[:8], 8) == many[:8]
    assert spread_over([], 8) == []


def test_scaled_times_are_told_with_their_tau(records, jobs, page):
    assert "tau of the bounded slowdown" not in page.text
    facts = CampaignFacts("demo", OBJECTIVES, tau_s=0.1, workload={"times scaled": "by 0.01"})
    text = Page(render(CampaignResult.of(records, facts), jobs)).text
    assert (
        "tau of the bounded slowdown 0.1 s (10 s, scaled as all times of the workload are)" in text
    )
    assert text.count("by 0.01") == 1


def test_failed_checks_come_first(records):
    lines = check_lines(records)
    assert [(line.name, bool(line.failed)) for line in lines] == [
        ("steal", True),
        ("clock_error", False),
    ]


def test_provenance_that_differs_is_counted(records):
    assert re.fullmatch(
        r"51b0aa93c6d8f024 \(3 trials\), 9f2c1e77ab0d4c5e \(9 trials\)",
        common(records)["image_hash"],
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ABSENT), (3.0, "3"), (0.0123456, "0.01235"), (123456.7, "123,457"), (-2.5, "-2.5")],
)
def test_numbers_read_well(value, text):
    assert number(value) == text


def test_values_are_shown_as_configuration_has_them():
    assert [shown(value) for value in (True, 3, "sched/builtin", None)] == [
        "true",
        "3",
        "sched/builtin",
        ABSENT,
    ]


def printed(renderable, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def test_the_terminal_shows_the_front_in_80_columns(records):
    text = printed(text_front(CampaignResult.of(records, FACTS)))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for record in front(records, OBJECTIVES):
        assert re.search(
            rf"^ +{record.number} +{re.escape(number(record.metrics['awrt_s']))} ",
            text,
            re.MULTILINE,
        )


@pytest.fixture
def compared(records):
    """The records with a baseline that every other trial beats."""
    worst = {name: 2 * max(r.metrics.get(name, 0.0) for r in records) for name in OBJECTIVES}
    baseline = records[0].model_copy(
        update={
            "baseline": True,
            "outcome": "ok",
            "metrics": {**records[0].metrics, **worst},
        }
    )
    return [baseline, *records[1:]]


def test_the_terminal_has_the_baseline_and_the_change_against_it(compared):
    result = CampaignResult.of(compared, FACTS)
    text = printed(text_front(result))
    assert max(map(len, text.splitlines())) <= 80
    table = text.partition("Pareto front")[2]
    assert sum(line.split()[:1] == ["baseline"] for line in table.splitlines()) == 1
    best = result.front[0]
    percent = 100 * (best.metrics["awrt_s"] / compared[0].metrics["awrt_s"] - 1)
    assert f"{percent:.0f} %" in table


def test_the_page_has_the_baseline_and_the_change_against_it(compared, jobs):
    facts = replace(FACTS, baseline="the defaults of <slurm>")
    page = Page(render(CampaignResult.of(compared, facts), jobs))
    assert "against the baseline, trial 0: the defaults of <slurm>." in page.text
    assert "0 baseline" in page.text and "ok , baseline" in page.text
    front_changes = [
        change(record, compared[0], "awrt_s") for record in front(compared, OBJECTIVES)
    ]
    assert front_changes and all(one in page.text for one in front_changes)


def test_a_change_is_in_per_cent_and_the_baseline_has_none(compared):
    baseline = compared[0].model_copy(update={"metrics": {"awrt_s": 200.0, "node_hours": 0.0}})
    other = compared[1].model_copy(update={"metrics": {"awrt_s": 199.99, "node_hours": 5.0}})
    assert change(other, baseline, "awrt_s") == "+0.0 %"
    assert change(other, baseline, "node_hours") == ""
    assert change(baseline, baseline, "awrt_s") == change(other, None, "awrt_s") == ""
    half = other.model_copy(update={"metrics": {"awrt_s": 99.0}})
    assert change(half, baseline, "awrt_s") == "-50 %"


def test_the_end_says_where_the_time_went_in_two_lines(records):
    cost = cost_of(records, FACTS)
    (first, time), (second, clusters) = time_lines(cost)
    assert (first, second) == ("time", "clusters")
    shares = (
        f"{percent(cost.workload_share)} workload ({percent(cost.later_share)} after the "
        "first trial)"
    )
    ready = (
        f"nodes ready after {seconds(cost.ready.p50)} s (p50), {seconds(cost.ready.p95)} s (p95)"
    )
    between = f"{percent(cost.between.share)} between trials"
    assert time == f"{cost.wall_s / 60:.1f} min: {shares}, {between}, {ready}"
    assert clusters == "11 restored, 1 booted (1 because golden cluster file n1.ram was altered)"
    assert list(time_lines(cost_of([], FACTS))) == []


def test_the_terminal_says_so_when_there_is_no_front():
    assert "0 of 0 valid trials" in printed(text_front(CampaignResult.of([], FACTS)))


def test_the_scatter_marks_front_and_others(records):
    best = front(records, OBJECTIVES)
    field = scatter(records, best, OBJECTIVES)
    valid = sum(record.valid for record in records)
    marks = re.findall(r"\|(.*)$", field, re.MULTILINE)
    assert 2 <= "".join(marks).count("o") <= len(best)
    assert 1 <= "".join(marks).count(".") <= valid - len(best)


def test_a_single_point_has_a_scatter(records):
    assert "o" in scatter(records[:1], records[:1], OBJECTIVES)


def across_schedulers():
    """Trials of two schedulers, and what differs between them."""
    names = itertools.cycle(["slurm", "sling", "flux"])
    return [
        one.record.model_copy(update={"point": {**one.record.point, "scheduler.name": name}})
        for one, name in zip(campaign_samples(12), names, strict=False)
    ]


def test_a_scheduler_without_a_valid_trial_is_named_with_the_reason_and_stands_in_no_legend(jobs):
    records = across_schedulers()[:4]
    spoilt = {"outcome": "invalid", "reason": "steal 0.3\nof node n1", "metrics": {}}
    records[2] = records[2].model_copy(update=spoilt)
    arms = ("slurm", "sling", "flux", "volcano")
    result = CampaignResult.of(records, replace(FACTS, arms=arms))
    lost = (
        "othing is known of flux, which has not lost: its only trial isn't valid; trial 2 was "
        "invalid (steal 0.3)"
    )
    said = " ".join(printed(text_front(result)).split())
    assert (
        f"n{lost}" in said and "nothing is known of volcano: none of its points was tried" in said
    )
    page = Page(render(result, jobs)).text
    assert page.index(f"N{lost}.") < page.index("The Pareto front")
    assert scatter(records, result.front, OBJECTIVES).endswith("on the front: S sling, L slurm")
    (chart,) = front_charts(result, measures(OBJECTIVES, records))
    assert chart.symbols == ("sling", "slurm")


def test_the_front_tells_schedulers_apart():
    records = across_schedulers()
    best = front(records, OBJECTIVES)
    field = scatter(records, best, OBJECTIVES)
    assert field.endswith("on the front: F flux, S sling, L slurm")
    assert not any("o" in line.partition("|")[2] for line in field.splitlines())
    (chart,) = front_charts(CampaignResult.of(records, FACTS), measures(OBJECTIVES, records))
    assert {mark.symbol for series in chart.points for mark in series.marks} == {0, 1, 2}
    plain = [one.record for one in campaign_samples(12)]
    (chart,) = front_charts(CampaignResult.of(plain, FACTS), measures(OBJECTIVES, plain))
    assert {mark.symbol for series in chart.points for mark in series.marks} == {0}


def test_what_differs_between_schedulers_is_a_table_that_escapes(jobs):
    rows = (
        ManifestEntry("gang", {"slurm": EVIL, "flux": "yes"}),
        ManifestEntry("kernel", {"slurm": "6.12", "flux": "6.12"}),
    )
    page = Page(render(CampaignResult.of(across_schedulers(), replace(FACTS, fairness=rows)), jobs))
    assert "What differs between the schedulers" in page.text and "onerror" in page.text
    assert not [attributes for tag, attributes in page.elements if tag == "img"]
    assert page.text.count("6.12 ") == 1


def test_the_pressure_of_hosts_stands_beside_the_checks(records, jobs, page):
    assert "CPU pressure" not in page.text  # none was sampled
    load = HostLoad(
        host="<b>", phase=Phase.WORKLOAD, cpus=2, cpu=LoadRange(0.84, 0.9, 0.97), foreign_cpus=1.6
    )
    first, *rest = records
    sampled = [first.model_copy(update={"loads": (load,)}), *rest]
    html = render(CampaignResult.of(sampled, FACTS), jobs)
    section = html[html.index('id="checks"') : html.index('id="reproduce"')]
    for text in ("&lt;b&gt;", "84 to 97 %", "1.6 to 1.6 of 2", "unknown"):
        assert f">{text}</t" in section
