"""Hostile text in every field: nothing of it is executed, becomes a path of its own, or breaks a
page."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from campaign.config.compose import compose
from campaign.schema.model import Campaign
from campaign.schema.settings import NAME_PATTERN

ROOT = Path(__file__).parents[4]
CANARY = "campaign-canary"
PAYLOADS = (
    *(
        f"$(touch {CANARY})",
        f"`touch {CANARY}`",
        f"; touch {CANARY}",
        f"| touch {CANARY} #",
        f"&& touch {CANARY}",
    ),
    *(
        f"\ntouch {CANARY}\n",
        f"\r\ntouch {CANARY}",
        f"' ; touch {CANARY} ; '",
        f'" ; touch {CANARY} ; "',
    ),
    *(
        f"../../{CANARY}",
        f"/{CANARY}/../etc/passwd",
        "~/../..",
        "-rf /",
        "--help",
        "*",
        "?",
        "\\",
        "CON",
        ".",
    ),
    *(
        "{{7*7}}",
        "${oc.env:HOME}",
        "${jndi:x}",
        "%s%n%x",
        "{0.__class__}",
        "!!python/object/apply:os.system [id]",
    ),
    *(
        f"__import__('os').system('touch {CANARY}')",
        "' OR 1=1 --",
        '"; DROP TABLE runs; --',
        "1; SELECT pg_sleep(9)",
    ),
    *(
        "<script>alert(1)</script>",
        "'><img src=x onerror=alert(1)>",
        "]]><!--",
        "&xxe;",
        '<!DOCTYPE a SYSTEM "b">',
    ),
    *(
        "\x00",
        "\x1b[2J\x1b]0;owned\x07",
        "\u202egnp.exe",
        "A" * 5000,
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ),
)
HOSTILE = [
    before + payload
    for payload, before in itertools.product(PAYLOADS, ("", "demo", "demo ", "/", "x=", "-"))
][:200]


def text_fields(value, path=()):
    """Every place of a configuration where a text stands, or may stand for nothing."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from text_fields(below, (*path, key))
    elif value is None or isinstance(value, str):
        yield path


COMPOSED = compose(["testbed=simulation"]).campaign.model_dump(mode="json")
FIELDS = sorted(text_fields(COMPOSED), key=str)


def with_text(path, text):
    """The configuration with `text` at one place."""

    def put(value, rest):
        if not rest:
            return text
        return {**value, rest[0]: put(value[rest[0]], rest[1:])}

    return put(COMPOSED, path)


def test_there_are_two_hundred_and_they_differ():
    assert len(set(HOSTILE)) == 200 and len(FIELDS) > 15


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
def test_text_in_a_setting_is_refused_or_kept_as_it_is(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in HOSTILE:
        try:
            campaign = Campaign.model_validate(with_text(path, text))
        except ValidationError:
            continue
        assert re.fullmatch(NAME_PATTERN, campaign.name)
        kept = campaign.model_dump(mode="json")
        for key in path:
            kept = kept[key]
        assert kept == text or isinstance(kept, int | float)
    assert list(tmp_path.iterdir()) == []


def test_names_are_none_of_these():
    """But for one that is made of letters and dashes: what is allowed in a name can do nothing."""
    harmless = [text for text in HOSTILE if re.fullmatch(NAME_PATTERN, text)]
    assert harmless == ["demo--help"]
    for text in HOSTILE:
        named = [
            with_text(("name",), text),
            with_text(("image", "name"), text),
            {**COMPOSED, "hosts": {text: {}}},
        ]
        for config in named if text not in harmless else ():
            with pytest.raises(ValidationError):
                Campaign.model_validate(config)


def test_a_hostile_trace_is_simulated_and_reported_and_does_nothing_else(tmp_path):
    """Its name and all header lines are hostile; the page escapes them, and no file appears but the
    results."""
    printable = [
        text.replace("\n", " ").replace("\r", " ").replace("\x00", " ") for text in HOSTILE
    ]
    labels = (
        "Computer",
        "Installation",
        "Note",
        "Acknowledge",
        "Information",
        "Conversion",
        "MaxProcs",
        "UnixStartTime",
    )
    header = [
        f"; {label}: {text}"
        for text, label in zip(printable, itertools.cycle(labels), strict=False)
    ]
    job = "{0} {1} -1 5 2 -1 -1 2 60 -1 1 1 1 -1 1 -1 -1 -1"
    trace = tmp_path / f"$(touch {CANARY});<script>alert(1)<'script>&.swf"
    trace.write_text(
        "\n".join([*header, *(job.format(number, number * 3) for number in range(1, 9))]) + "\n"
    )
    settings = tmp_path / "conf/workload"
    settings.mkdir(parents=True)
    (settings / "ours.yaml").write_text(f"kind: swf\npath: {str(trace)!r}\n".replace("\\'", "''"))
    place = tmp_path / "place"
    place.mkdir()
    command = [
        *(
            sys.executable,
            "-m",
            "campaign.search",
            "--config-dir",
            str(tmp_path / "conf"),
            "testbed=simulation",
        ),
        *("workload=ours", "search.trials=3", "cluster.nodes=[1,2]", "name=hostile"),
    ]
    done = subprocess.run(
        command,
        cwd=place,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (place / "results/hostile/report.html").read_text()
    assert "alert(1)" in page and "<script>alert(1)" not in page and "<img src=x" not in page
    assert not list(tmp_path.rglob(f"*{CANARY}")) and not (ROOT / CANARY).exists()
    assert {path.name for path in place.iterdir() if not path.name.startswith(".")} == {
        "results",
        "mlruns",
    }
