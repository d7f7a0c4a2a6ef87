"""The documents keep up with the code."""

import re
import tomllib
from pathlib import Path

import pytest

from campaign.analysis.metrics import METRICS
from campaign.analysis.rules import RULES
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


def test_the_map_has_the_wings_of_the_contract_in_their_order():
    """What import-linter holds and what people read can't part."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("## The wings") : text.index("## The life of a trial")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (one for one in settings["contracts"] if one["type"] == "layers")
    assert [set(re.findall(r"`([\w.]+)`", row)) for row in rows] == [
        set(layer.split(" | ")) for layer in contract["layers"]
    ]


DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / name).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_document_names_are_there(name):
    text = (ROOT / name).read_text()
    for path in re.findall(r"`((?:campaign|actors|schedulers|search|tests|docs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_readme_says_the_two_commands_first():
    text = (ROOT / "README.md").read_text()
    first = text[text.index("```console") :].splitlines()[1:3]
    assert [line.split("#")[0].strip() for line in first] == ["$ make simulate", "$ make search"]
