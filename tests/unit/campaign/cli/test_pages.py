"""The pages for users: what they quote exists, and they build as a site."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from campaign.config.compose import compose
from campaign.config.defaults import setting_rows
from campaign.testbeds.preflight import workload_for
from tests.parsing import undisturbed_parsing

ROOT = Path(__file__).parents[4]
PACKAGES = ("campaign", "actors", "schedulers", "search")
PAGES = ("README.md", "docs/tutorial.md", "docs/howto.md", "docs/studies.md")
PAGES += ("docs/troubleshooting.md", "docs/campaigns.md")


def text_of(node: ast.AST) -> str:
    """A literal as a reader of the message sees it, with values left out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    return ""


@cache
def literals() -> list[str]:
    """Every text in the sources."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    with undisturbed_parsing():
        return [
            text
            for file in files
            for node in ast.walk(ast.parse(file.read_text()))
            if (text := text_of(node))
        ]


def quoted_messages() -> list[str]:
    """The parts of messages that the page on troubleshooting explains."""
    text = (ROOT / "docs/troubleshooting.md").read_text()
    return re.findall(r"^### `(.*)`$", text, re.MULTILINE)


@pytest.mark.parametrize("part", quoted_messages())
def test_a_message_that_is_explained_can_be_met(part):
    assert any(part in text for text in literals())


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_a_page_names_exist(page):
    known = {re.sub(r"\.[A-Z]+\b", ".NAME", row.path) for row in setting_rows()}
    groups = "|".join(sorted({path.partition(".")[0] for path in known if "." in path}))
    named = set(re.findall(rf"`((?:{groups})\.[a-z_.]+[a-z])[=`]", (ROOT / page).read_text()))
    named = {name for name in named if not name.startswith("search.baseline.")}
    unknown = {name for name in named if not any(path.startswith(name) for path in known)}
    assert unknown == set()


@pytest.mark.parametrize(
    "study", sorted((ROOT / "docs/studies").glob("*.yaml")), ids=lambda p: p.stem
)
def test_each_study_is_a_campaign(study):
    assert compose([], study.parent, study.stem).campaign.name == f"study-{study.stem}"


def test_what_make_simulate_runs_is_a_campaign_on_unseen_workloads_too():
    assert "--config-name simulate" in (ROOT / "Makefile").read_text()
    campaign = compose([], None, "simulate").campaign
    assert campaign.search.holdout >= 5 and campaign.workload.instances >= 5


def test_what_needs_no_virtual_machine_installs_nothing_for_them():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("simulate", "ui"):
        (needs,) = re.findall(rf"^{target}: (.*) ##", makefile, re.M)
        assert needs == "$(VENV)/.light"
    (needs,) = re.findall(r"^\$\(VENV\)/\.light: (.*)", makefile, re.M)
    assert needs == "requirements-light.lock pyproject.toml"


def test_a_model_is_of_one_year_in_the_documents_and_in_what_is_said_of_a_workload():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    written = "\n".join(page.read_text() for page in pages)
    composed = compose(["workload=lublin", "workload.jobs=2"])
    parts = (composed.campaign, composed.schedulers, composed.space)
    said = workload_for(*parts).notes["model"]
    (year,) = re.findall(r"Lublin, Feitelson (\d{4})", said)
    assert set(re.findall(r"Lublin(?:,| and) Feitelson (\d{4})", written)) == {year}


def test_the_documents_build_as_a_site(tmp_path):
    command = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html")
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", ROOT / "docs", tmp_path / "site"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "site/tutorial.html").exists()
