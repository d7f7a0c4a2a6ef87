"""The documents keep up with the code."""

import re
from pathlib import Path

import pytest

from campaign.analysis.metrics import METRICS
from campaign.analysis.validity import RULES
from campaign.cli.docs import pages

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_generated_tables_are_those_of_the_code(name):
    assert (ROOT / "docs" / name).read_text() == pages()[name], (
        "run `make docs` and commit the result"
    )


def test_the_metrics_page_has_every_metric_and_every_check_with_its_threshold():
    text = pages()["metrics.md"]
    for name, metric in METRICS.items():
        assert f"| {name} | {metric.unit} |" in text
    for name, rule in RULES.items():
        assert re.search(
            rf"^\| {re.escape(name)} \|.*`validity\.{rule.limit}` \| {rule.default} \|",
            text,
            re.MULTILINE,
        )
    assert "tau = 10 s x workload.time_scale" in text


def test_every_module_that_the_map_names_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = text[text.index("## The rooms") : text.index("## The life of a trial")]
    missing = []
    room = ""
    for line in rooms.splitlines():
        if match := re.match(r"(\w+)/ ", line):
            room = match[1]
        names = re.findall(r"\b[a-z_]+\.py\b", line.split("  ")[1] if line.startswith("  ") else "")
        missing += [f"{room}/{name}" for name in names if not list((ROOT / room).rglob(name))]
    assert missing == []


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"`(docs/[a-z]+\.md)`", text):
        assert (ROOT / path).is_file(), path
