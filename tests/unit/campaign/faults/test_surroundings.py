"""Odd surroundings of a command: the same data as ever, or one message that says why not."""

import os

import pytest

from tests.unit.campaign.faults.conftest import Data

# What commands are forked from compiles the simulation first, which takes as long as it takes.
pytestmark = pytest.mark.timeout(900)

IN_2500 = 16_725_225_600.0
LONG = "/".join(["a" * 200] * 25)

# What is changed of the environment (None removes a variable), what is done to the process, and the
# words of the command.
SAME = {
    "no HOME": ({"HOME": None}, [], []),
    "an empty HOME": ({"HOME": ""}, [], []),
    "a HOME that isn't there": ({"HOME": "/no/such/home"}, [], []),
    "a HOME that is a file": ({"HOME": "/etc/passwd"}, [], []),
    "a HOME that can't be written": ({"HOME": "/proc"}, [], []),
    "a relative HOME": ({"HOME": "here"}, [], []),
    "relative XDG folders": ({"XDG_STATE_HOME": "x", "XDG_CACHE_HOME": "x"}, [], []),
    "no PATH": ({"PATH": None}, [], []),
    "an empty PATH": ({"PATH": ""}, [], []),
    "a PATH of strangers": ({"PATH": "/no/such:."}, [], []),
    "no environment": (dict.fromkeys(os.environ), [], []),
    "no TERM": ({"TERM": None}, [], []),
    "a dumb terminal": ({"TERM": "dumb"}, [], []),
    "a terminal of one column": ({"COLUMNS": "1", "LINES": "1"}, [], []),
    "columns that are none": ({"COLUMNS": "x", "LINES": "-7"}, [], []),
    "colours by force": ({"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, [], []),
    "a locale that isn't there": ({"LC_ALL": "tr_TR.UTF-8", "LANG": "xx"}, [], []),
    "streams that take ASCII": ({}, [("encoded", "ascii")], []),
    "streams that take Latin-1": ({}, [("encoded", "latin-1")], []),
    "a time zone that is none": ({"TZ": "no/such"}, [("time_zone",)], []),
    "a time zone far away": ({"TZ": "XXX+167"}, [("time_zone",)], []),
    "an empty time zone": ({"TZ": ""}, [("time_zone",)], []),
    "the clock an hour back": ({}, [("clock", -3600.0)], []),
    "the clock a day ahead": ({}, [("clock", 86400.0)], []),
    "the clock in 1970": ({}, [("clock_at", 0.0, 0.001)], []),
    "the clock before 1970": ({}, [("clock_at", -1e6, 0.001)], []),
    "the clock in 2500": ({}, [("clock_at", IN_2500, 0.001)], []),
    "the clock stands still": ({}, [("clock_at", 1.8e9)], []),
    "the clock goes back": ({}, [("clock_at", 1.8e9, -60.0)], []),
    "all may write": ({}, [("umask", 0)], []),
    "only its user may read": ({}, [("umask", 0o077)], []),
    "30 open files": ({}, [("limit", "RLIMIT_NOFILE", 30)], []),
    "no core files": ({}, [("limit", "RLIMIT_CORE", 0)], []),
    "a small stack": ({}, [("limit", "RLIMIT_STACK", 1 << 20)], []),
    "no locked memory": ({}, [("limit", "RLIMIT_MEMLOCK", 0)], []),
    "a path with a space": ({}, [], ["output.results=my results"]),
    "a path with quotes": ({}, [], [r"output.results='my \"results'"]),
    "a path with a line's end": ({}, [], ["output.results='my\nresults'"]),
    "a path in other letters": ({}, [], ["output.results=ergebnisse-ä-結果-😀"]),
    "a path that looks like an option": ({}, [], ["output.results=--help"]),
    "a path with signs of a shell": ({}, [], ["output.results='$(id);&|*?#'"]),
    "a path with a percent sign": ({}, [], ["output.results='%s%n'"]),
    "a path by way of others": ({}, [], ["output.results=./x/../y/./z"]),
    "a deep path": ({}, [], ["output.results=" + "a/" * 100]),
    "a home in the path": ({"HOME": "/proc/self/cwd"}, [], ["output.results=~/mine"]),
    "no standard input": ({}, [("closed", 0)], []),
    "no standard output": ({}, [("closed", 1)], []),
    "no standard error": ({}, [("closed", 2)], []),
    "no streams at all": ({}, [("closed", 0, 1, 2)], []),
}

REFUSED = {
    "files of 10,000 bytes": (
        {},
        [("limit", "RLIMIT_FSIZE", 10_000)],
        [],
        "can't be written: File too large",
    ),
    "a folder that is gone": ({}, [("no_folder",)], [], "working directory"),
    "results in a file": ({}, [], ["output.results=/etc/passwd"], "Not a directory"),
    "results in a device": ({}, [], ["output.results=/dev/null"], "Not a directory"),
    "results in /proc": ({}, [], ["output.results=/proc/results"], "/proc/results"),
    "a path that is too long": ({}, [], [f"output.results={LONG}"], "File name too long"),
    "a part of a path that is too long": ({}, [], [f"output.results={'a' * 300}"], "too long"),
    "a home of a stranger": ({}, [], ["output.results=~nouser/x"], "~nouser"),
    "MLflow in the home of a stranger": ({}, [], ["output.mlruns=~nouser/x"], "~nouser"),
    "a NUL in a path": ({}, [], ["output.results=a\0b"], "NUL"),
    "a link in a circle": ({}, [], ["output.results=circle"], "circle"),
    "an empty name": ({}, [], ["name=''"], "name"),
    "a name that leads elsewhere": ({}, [], ["name=../a"], "name"),
    "a name in capitals": ({}, [], ["name=A"], "name"),
    "a name of 41 letters": ({}, [], ["name=" + "a" * 41], "name"),
    "a name that is a dash": ({}, [], ["name=-"], "name"),
    "a name that is a number with a point": ({}, [], ["name=1.5"], "name"),
}


TABLES = {
    "test_odd_surroundings_change_nothing": SAME,
    "test_what_cannot_work_is_refused_in_one_message": REFUSED,
}
RARE = {
    "an empty HOME",
    "a HOME that isn't there",
    "a HOME that is a file",
    "a relative HOME",
    "relative XDG folders",
    "no PATH",
    "an empty PATH",
    "a PATH of strangers",
    "no TERM",
    "a dumb terminal",
    "colours by force",
    "streams that take Latin-1",
    "a time zone far away",
    "an empty time zone",
    "the clock an hour back",
    "the clock a day ahead",
    "the clock before 1970",
    "the clock stands still",
    "no core files",
    "a small stack",
    "no locked memory",
    "a path with a space",
    "a path with a percent sign",
    "a path by way of others",
    "a deep path",
    "no standard input",
    "no standard error",
}


def surrounded(environment):
    known = {**os.environ, **environment}
    return {name: value for name, value in known.items() if value is not None}


def test_odd_surroundings_change_nothing(commands, undisturbed, tmp_path, kind):
    environment, setup, words = SAME[kind]
    done = commands.search(
        1,
        *words,
        at=tmp_path,
        setup=[("untracked",), *setup],
        environment=surrounded(environment),
    )
    done.assert_no_bug()
    assert done.status == 0, done.said
    (ledger,) = tmp_path.rglob("ledger.jsonl")
    assert Data.at(ledger.parents[2], ledger.parents[1].name).trials == undisturbed.data.trials[:1]
    assert not (tmp_path / "~").exists()


def test_what_cannot_work_is_refused_in_one_message(commands, tmp_path, kind):
    environment, setup, words, said = REFUSED[kind]
    (tmp_path / "circle").symlink_to("circle")
    commands.search(
        1, *words, at=tmp_path, setup=[("untracked",), *setup], environment=surrounded(environment)
    ).assert_refused(said)


@pytest.mark.parametrize(
    ("done_to", "statuses", "said"),
    [
        (("full", 1), {2}, "standard output can't be written: No space left on device"),
        (("unread", 1), {141}, ""),
        (("full", 2), {0}, ""),
        (("unread", 2), {0, 141}, ""),
    ],
    ids=["full output", "output that nobody reads", "full errors", "errors that nobody reads"],
)
def test_a_stream_that_takes_nothing_costs_no_trial(
    commands, undisturbed, tmp_path, done_to, statuses, said
):
    done = commands.search(1, at=tmp_path, setup=[("untracked",), done_to])
    assert done.status in statuses and "Traceback" not in done.said and said in done.said, done
    assert commands.search(1, at=tmp_path, setup=[("untracked",)]).status == 0
    assert Data.at(tmp_path).trials == undisturbed.data.trials[:1]
