"""`workload show`, `convert` and `generate` as their users meet them: files in, figures and files
out, refusals."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from campaign import __main__ as surrounding
from campaign.config.compose import compose
from campaign.core.exits import USER_ERROR
from campaign.testbeds.preflight import workload_for
from campaign.workloads.swf import read_swf

ROOT = Path(__file__).parents[4]
TRACE = """\
; Version: 2.2
; MaxProcs: 64
1 100 5 30 2 -1 -1 2 60 -1 1 7 1 -1 1 1 -1 -1
2 160 5 600 64 -1 -1 64 900 -1 1 8 1 -1 1 1 -1 -1
3 220 5 0 1 -1 -1 1 60 -1 1 7 1 -1 1 1 -1 -1
"""
BATSIM = {
    "nb_res": 16,
    "jobs": [
        {"id": "a", "subtime": 0, "res": 4, "profile": "p", "walltime": 20},
        {"id": "b", "subtime": 9, "res": 16, "profile": "p"},
    ],
    "profiles": {"p": {"type": "delay", "delay": 10}},
}


def configured(settings):
    """The workload of a campaign with these settings."""
    composed = compose(settings)
    return workload_for(composed.campaign, composed.schedulers, composed.space)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the commands run: beside a trace of each format."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.swf").write_text(TRACE)
    (tmp_path / "packed.swf.gz").write_bytes(gzip.compress(TRACE.encode()))
    (tmp_path / "batsim.json").write_text(json.dumps(BATSIM))
    return tmp_path


@pytest.fixture
def said(capsys):
    def run(*arguments):
        assert surrounding.main(["workload", *arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys):
    def run(*arguments):
        assert surrounding.main(["workload", *arguments]) == USER_ERROR
        heard = capsys.readouterr()
        assert heard.out == "" and heard.err.startswith("error: ") and "Traceback" not in heard.err
        return heard.err

    return run


def facts(text):
    """The lines that begin with a name, by it; notes by the name that follows."""
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0].islower()]
    return {name: value.strip() for name, value in (line for line in lines if len(line) == 2)}


def row(text, name):
    return next(line.split()[1:] for line in text.splitlines() if line.startswith(f"{name} "))


@pytest.mark.parametrize("file", ["trace.swf", "packed.swf.gz"])
def test_a_file_is_shown_on_the_machine_that_it_is_of(said, file):
    shown = said("show", file)
    found = facts(shown)
    assert (
        found["jobs"] == "3 of 2 users"
        and found["slots"] == "64"
        and found["span"].startswith("120 s (2 min)")
    )
    assert found["hash"] == read_swf(Path(file)).hash
    assert found["offered"] == f"load  {(2 * 30 + 64 * 600 + 1) / (64 * 120):.4g}"
    assert "note          zero run times raised to 1 s: 1 job" in shown
    assert row(shown, "max") == ["60", "64", "600", "900", "0.6667", "38400"]
    assert "33 % of the jobs are 1 slot wide; the widths of 100 % are powers of two" in shown
    for panel in (
        "Arrivals (jobs per 2 s)",
        "Offered load (share of 64 slots",
        "Width (jobs)",
        "Run time (jobs)",
    ):
        assert panel in shown


def test_a_batsim_file_is_shown_too(said):
    found = facts(said("show", "batsim.json"))
    assert (
        found["jobs"].startswith("2 of ") and found["slots"] == "16" and found["name"] == "batsim"
    )


def test_settings_transform_a_file(said):
    shown = said(
        "show", "trace.swf", "workload.time_scale=0.1", "workload.jobs=2", "workload.max_width=8"
    )
    assert facts(shown)["jobs"] == "2 of 2 users" and facts(shown)["span"].startswith("6 s")
    assert row(shown, "max")[:3] == ["6", "8", "60"]
    assert "note          times scaled: by 0.1" in shown


def test_what_a_campaign_would_replay_is_shown(said):
    settings = [
        "workload=swf",
        "workload.path=trace.swf",
        "cluster.nodes=[3,5]",
        "cluster.slots_per_node=2",
    ]
    found = facts(said("show", *settings))
    assert found["slots"] == "6"
    assert found["hash"] == configured(settings).hash


def test_single_jobs_are_shown(said):
    shown = said("show", "trace.swf", "workload.jobs=1", "--picture", "one.svg")
    assert "none: all jobs arrive at once" in shown and "1 of 1 users" in shown


@pytest.mark.parametrize("name", ["p.svg", "p.html"])
def test_the_picture_is_a_file_of_its_own(said, folder, name):
    assert f"{name} holds the picture" in said("show", "trace.swf", "--picture", name)
    text = (folder / name).read_text()
    inner = text[text.index("<svg") : text.index("</svg>") + 6]
    assert ElementTree.fromstring(inner).get("aria-label") == "Workload trace"
    assert text.startswith("<!doctype html>") == (name == "p.html")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_names_cannot_steer_the_terminal(said, folder):
    (folder / "a\x1b[31m.swf").write_text(TRACE)
    assert "\x1b" not in said("show", "a\x1b[31m.swf")


def test_a_terminal_without_blocks_gets_question_marks():
    command = [sys.executable, "-m", "campaign", "workload", "show", "trace.swf"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"|?" in done.stdout and done.stderr == b""


@pytest.mark.parametrize(
    ("source", "out"),
    [("trace.swf", "out.swf"), ("packed.swf.gz", "out.swf.gz"), ("batsim.json", "out.swf")],
)
def test_what_is_converted_reads_back_the_same(said, folder, source, out):
    written = said("convert", source, "--out", out, "workload.time_scale=0.3")
    assert facts(written)["hash"] == read_swf(folder / out).hash
    assert "note          times scaled: by 0.3" in written


def test_a_model_is_generated_as_it_would_be_replayed(said, folder):
    settings = ["workload=lublin", "workload.jobs=40", "cluster.nodes=8", "workload.seed=3"]
    said("generate", *settings, "--out", "t.swf")
    assert read_swf(folder / "t.swf").hash == configured(settings).hash


def test_times_can_be_written_in_whole_seconds_and_decimals_are_told_of(said):
    model = ["generate", "workload=lublin", "workload.jobs=20"]
    assert "its times have decimals" in said(*model, "--out", "exact.swf")
    told = said(*model, "--out", "whole.swf", "--whole-seconds")
    assert "decimals" not in told and "rounded to whole seconds: 20 jobs" in told
    lines = [one for one in Path("whole.swf").read_text().splitlines() if not one.startswith(";")]
    assert len(lines) == 20 and "." not in "".join(lines)
    exact, whole = (read_swf(Path(f"{name}.swf")).table.to_pydict() for name in ("exact", "whole"))
    for column in ("arrival_s", "runtime_s"):
        pairs = zip(exact[column], whole[column], strict=True)
        assert all(abs(one - other) <= 0.5 or other == 1 for one, other in pairs)
    for needed, limit in zip(whole["runtime_s"], whole["requested_s"], strict=True):
        assert needed <= limit


def test_whole_seconds_change_no_trace_that_has_them(said):
    told = said("convert", "trace.swf", "--out", "again.swf", "--whole-seconds")
    assert "rounded" not in told
    assert read_swf(Path("again.swf")).hash == read_swf(Path("trace.swf")).hash


def test_files_are_replaced_only_when_told(said, refused, folder):
    (folder / "out.swf").write_text("mine")
    assert "out.swf exists" in refused("convert", "trace.swf", "--out", "out.swf")
    assert (folder / "out.swf").read_text() == "mine"
    said("convert", "trace.swf", "--out", "out.swf", "--force")
    assert len(read_swf(folder / "out.swf")) == 3


@pytest.mark.parametrize(
    "arguments", [("trace.swf",), ("workload=swf", "workload.path=trace.swf"), ("batsim.json",)]
)
def test_traces_are_not_generated(refused, folder, arguments):
    assert "workload convert" in refused("generate", *arguments, "--out", "out.swf")
    assert not (folder / "out.swf").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "absent.swf"), "there is no file absent.swf"),
        (("show", "lublin"), "workload=lublin"),
        (("show", "trace.swf", "batsim.json"), "one trace file at a time"),
        (
            ("show", "trace.swf", "cluster.nodes=4"),
            "use workload=swf workload.path=trace.swf cluster.nodes=4",
        ),
        (("show", "trace.swf", "workload.path=batsim.json"), "neither its path nor its kind"),
        (("show", "trace.swf", "workload.jobs=none"), "workload.jobs = 'none'"),
        (("show", "trace.swf", "workload.min_width=65"), "no job is left"),
        (("show", "batsim.json", "workload.speed=2"), "there is no such setting"),
        (("show", "."), "."),
        (("show", "~nobody-at-all/t.swf"), "~nobody-at-all/t.swf"),
        (
            ("show", "trace.swf", "--picture", "trace.swf"),
            "Use --picture FILE.svg or --picture F",
        ),
        (("show", "trace.swf", "--picture", "absent/p.svg"), "there is no folder absent"),
        (("convert", "trace.swf"), "Use --out FILE.swf or --out FILE.swf.gz."),
        (("show", "trace.swf", "picture=p.svg"), "Use --picture FILE."),
        (("convert", "trace.swf", "out=o.swf"), "out=o.swf: out is an option, not a setting"),
        (("convert", "trace.swf", "--out", "o.swf", "force=true"), "Use --force."),
        (("convert", "trace.swf", "--out", "~nobody-at-all/t.swf"), "~nobody-at-all/t.swf"),
        (("convert", "trace.swf", "--out", "absent/t.swf"), "there is no folder absent"),
        (("convert", "workload=lublin", "workload.jobs=0", "--out", "o.swf"), "workload.jobs = 0"),
    ],
)
def test_bad_input_is_one_clear_error(refused, arguments, says):
    assert says in refused(*arguments)


def test_a_broken_trace_is_named_with_its_line(refused, folder):
    (folder / "broken.swf").write_text(TRACE + "1 2 three\n")
    assert "broken.swf, line 6" in refused("show", "broken.swf")
    assert "needs repairs" in refused(
        "convert", "trace.swf", "workload.strict=true", "--out", "o.swf"
    )
    assert not (folder / "o.swf").exists()
