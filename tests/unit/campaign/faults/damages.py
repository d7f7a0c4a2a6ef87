"""What can happen to the files of a campaign, each kind by one function of its results folder."""

import gzip
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from campaign.records.events import Chain

Damaging = Callable[[Path], object]


def ledger(folder):
    return folder / "ledger.jsonl"


def content(change):
    """Change the ledger's bytes."""

    def damage(folder):
        ledger(folder).write_bytes(change(ledger(folder).read_bytes()))

    return damage


def lines(change):
    """Change the ledger's list of lines."""
    return content(lambda whole: b"".join(change(whole.splitlines(keepends=True))))


def events(change, *, sealed=True):
    """Change the ledger's list of events, with checksums that are right, or without any."""

    def damage(folder):
        found = [json.loads(line) for line in ledger(folder).read_text().splitlines()]
        for event in found:
            del event["n"], event["hash"]
        chain = Chain()
        with ledger(folder).open("wb") as file:
            for event in change(found):
                text = json.dumps(event, separators=(",", ":"))
                line = chain.sealed(text) if sealed else text.encode() + b"\n"
                chain._hash = chain._over(line[: -len(b',"hash":"0123456789abcdef"}\n')])
                chain.count += 1
                file.write(line)

    return damage


def event(kind, number=0, *, sealed=True, **values):
    """Change fields of the event of this kind that comes after `number` others."""

    def change(found):
        [one for one in found if one["event"] == kind][number].update(values)
        return found

    return events(change, sealed=sealed)


def record(**values):
    """Change fields of the record of trial 1."""

    def change(found):
        finished = [one for one in found if one["event"] == "finished"]
        finished[1]["record"].update(values)
        return found

    return events(change)


def config(change):
    """Change the settings that the head recorded."""

    def changed(found):
        change(found[0]["config"])
        return found

    return events(changed)


def becomes(name, bytes_=b""):
    def damage(folder):
        (folder / name).write_bytes(bytes_)

    return damage


def gone(name):
    def damage(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def instead(name, make):
    """Put what `make` makes at its path in the place of a file or a folder."""

    def damage(folder):
        gone(name)(folder)
        make(folder / name)

    return damage


def beside(name, make):
    def damage(folder):
        make(folder / name)

    return damage


def flipped(name):
    def damage(folder):
        whole = bytearray((folder / name).read_bytes())
        whole[len(whole) // 2] ^= 4
        (folder / name).write_bytes(whole)

    return damage


def cut(name, part=0.5):
    def damage(folder):
        os.truncate(folder / name, int((folder / name).stat().st_size * part))

    return damage


def table(change):
    """Change the jobs table of trial 1; its metadata stay."""

    def damage(folder):
        path = folder / "jobs/trial=00001.parquet"
        with path.open("rb") as file:
            found = pq.read_table(file)
        with path.open("wb") as file:
            pq.write_table(change(found), file)

    return damage


def exchanged(folder):
    """Give two trials the jobs of each other."""
    one, other = (folder / f"jobs/trial=0000{number}.parquet" for number in (1, 2))
    whole = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(whole)


def bound(path):
    """Make a socket, by a short relative name."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


HEAD = b'{"event":"campaign","time":1.0,"id":"e7","config":{}}\n'
A_JOBS_TABLE = "jobs/trial=00001.parquet"

REFUSED: dict[str, tuple[Damaging, str]] = {
    "emptied": (content(lambda _: b""), "no campaign"),
    "deleted": (gone("ledger.jsonl"), "no campaign"),
    "its head is lost": (lines(lambda all_: all_[1:]), "line 1 "),
    "a question is lost": (lines(lambda all_: [*all_[:2], *all_[3:]]), "lines are missing"),
    "a start is lost": (lines(lambda all_: all_[:5] + all_[6:]), "lines are missing"),
    "the last trial is lost": (
        lines(lambda all_: all_[: -all_[::-1].index(_asked(all_)) - 1]),
        "belongs to no trial of this ledger",
    ),
    "a line is doubled": (lines(lambda all_: [*all_[:4], *all_[3:]]), "doubled"),
    "two lines change places": (lines(lambda all_: [*all_[:3], *all_[4:2:-1], *all_[5:]]), "order"),
    "a byte is changed": (flipped("ledger.jsonl"), "checksum is wrong"),
    "an empty line": (lines(lambda all_: [*all_[:3], b"\n", *all_[3:]]), "line 4 "),
    "NUL bytes inside": (lines(lambda all_: [*all_[:3], b"\0" * 512, *all_[3:]]), "line 4 "),
    "NUL bytes and a line's end": (lines(lambda all_: [*all_, b"\0" * 512 + b"\n"]), "line "),
    "no UTF-8": (lines(lambda all_: [*all_[:3], b"\xff\xfe\n", *all_[3:]]), "line 4 "),
    "UTF-16": (content(lambda all_: all_.decode().encode("utf-16")), "line 1 "),
    "a byte order mark": (content(lambda all_: b"\xef\xbb\xbf" + all_), "line 1 "),
    "ends of lines as in DOS": (content(lambda all_: all_.replace(b"\n", b"\r\n")), "line 1 "),
    "compressed": (content(gzip.compress), "ledger"),
    "nested without end": (lines(lambda all_: [*all_[:3], b"[" * 200_000 + b"\n"]), "too deeply"),
    "a number": (lines(lambda all_: [*all_[:3], b"7\n"]), "line 4 "),
    "a number of 9,000 digits": (lines(lambda all_: [*all_[:3], b"7" * 9000 + b"\n"]), "line 4 "),
    "a list": (lines(lambda all_: [*all_[:3], b"[]\n"]), "line 4 "),
    "two ledgers in one": (content(lambda all_: all_ + all_), "line "),
    "a ledger without checksums behind": (content(lambda all_: all_ + HEAD), "no checksum"),
    "a ledger without checksums before": (content(lambda all_: HEAD + all_), "line 2 "),
    "no kind of event": (events(lambda all_: [*all_, {"time": 1.0}]), "'event'"),
    "an unknown kind of event": (event("started", 1, event="begun"), "unknown event"),
    "a head without its id": (events(lambda all_: [_without(all_[0], "id"), *all_[1:]]), "id"),
    "a head without settings": (
        events(lambda all_: [_without(all_[0], "config"), *all_[1:]]),
        "config",
    ),
    "settings of a kind that is none": (config(lambda all_: all_.update(search=7)), "search"),
    "settings that aren't there": (config(lambda all_: all_.pop("cluster")), "cluster"),
    "settings that nobody knows": (config(lambda all_: all_.update(clusters={})), "clusters"),
    "settings out of range": (config(lambda all_: all_["search"].update(batch=-1)), "batch"),
    "a key that is none": (event("campaign", key=[1]), "key"),
    "images that are none": (event("campaign", images="x"), "images"),
    "trial 99": (event("asked", 1, trial=99), "trial 99 is asked for where trial 1 is next"),
    "trial -1": (event("asked", 1, trial=-1), "asked for where trial 1 is next"),
    "a trial that is a text": (event("started", 1, trial="x"), "never asked for"),
    "a trial that is a list": (event("started", 1, trial=[]), "line "),
    "attempt 0": (event("started", 1, attempt=0), "attempt"),
    "a point outside of the space": (event("asked", 1, point={"cluster.nodes": 9}), "trial 1"),
    "a point of other settings": (event("asked", 1, point={"cluster.cores": 2}), "trial 1"),
    "a point that lacks a setting": (event("asked", 1, point={}), "trial 1"),
    "a point that is none": (event("asked", 1, point=7), "point"),
    "a time that is none": (event("asked", 1, time="soon"), "time"),
    "a time without end": (event("asked", 1, time=float("inf")), "time"),
    "a record of another trial": (record(number=2), "record of trial 2"),
    "a record of another point": (record(point={"cluster.nodes": 1}), "point"),
    "a record of another attempt": (record(attempt=7), "attempt"),
    "a record without metrics": (record(metrics={}), "no awrt_s"),
    "a metric that is no number": (record(metrics={"awrt_s": float("nan")}), "awrt_s"),
    "a metric without end": (
        record(metrics={"awrt_s": float("inf"), "node_hours": 1.0}),
        "awrt_s",
    ),
    "a metric that is a text": (record(metrics={"awrt_s": "x"}), "awrt_s"),
    "an outcome that is none": (record(outcome="fine"), "outcome"),
    "a record that is none": (event("finished", 1, record=7), "record"),
    "a pipe": (instead("ledger.jsonl", os.mkfifo), "is not a file"),
    "a folder": (instead("ledger.jsonl", Path.mkdir), "is not a file"),
    "a device": (instead("ledger.jsonl", lambda path: path.symlink_to("/dev/zero")), "not a file"),
    "a socket": (instead("ledger.jsonl", bound), "is not a file"),
    "a link that leads nowhere": (
        instead("ledger.jsonl", lambda path: path.symlink_to("gone.jsonl")),
        "ledger",
    ),
    "a link in a circle": (instead("ledger.jsonl", lambda path: path.symlink_to(path)), "ledger"),
    "a jobs table is changed": (flipped(A_JOBS_TABLE), A_JOBS_TABLE),
    "a jobs table is empty": (becomes(A_JOBS_TABLE), A_JOBS_TABLE),
    "a jobs table is cut": (cut(A_JOBS_TABLE), A_JOBS_TABLE),
    "a jobs table is something else": (becomes(A_JOBS_TABLE, b"x" * 999), A_JOBS_TABLE),
    "a jobs table has other columns": (table(lambda t: t.drop_columns(["width"])), A_JOBS_TABLE),
    "a jobs table lacks jobs": (table(lambda t: t.slice(0, 2)), A_JOBS_TABLE),
    "a jobs table says nothing of itself": (
        table(lambda t: t.replace_schema_metadata(None)),
        A_JOBS_TABLE,
    ),
    "jobs tables are exchanged": (exchanged, A_JOBS_TABLE),
    "a jobs table is a folder": (instead(A_JOBS_TABLE, Path.mkdir), A_JOBS_TABLE),
    "a jobs table is a pipe": (instead(A_JOBS_TABLE, os.mkfifo), A_JOBS_TABLE),
    "a jobs table of no trial": (
        lambda folder: shutil.copy(folder / A_JOBS_TABLE, folder / "jobs/trial=00077.parquet"),
        "trial=00077.parquet",
    ),
    "a folder of no trial": (beside("trials/00077", Path.mkdir), "00077"),
}
"""Damage that makes a resume and a report end before they change anything; what they say of it."""

HARMLESS: dict[str, Damaging] = {
    "nothing": lambda folder: None,
    "a torn line": content(lambda all_: all_ + b'{"event":"started","time":17'),
    "a torn line of NUL bytes": content(lambda all_: all_ + b"\0" * 4096),
    "the last line is cut": content(lambda all_: all_[:-40]),
    "the settings are gone": gone("campaign.yaml"),
    "the settings are empty": becomes("campaign.yaml"),
    "the settings are other ones": becomes("campaign.yaml", b"name: b\nsearch: {trials: 99}\n"),
    "the settings are no text": becomes("campaign.yaml", b"\xff\0"),
    "the report is gone": gone("report.html"),
    "the report is cut": cut("report.html"),
    "the log is gone": gone("logs"),
    "the log is no text": becomes("logs/driver.jsonl", b"\xff\0\n"),
    "the log is a file": instead("logs", Path.touch),
    "a trial's files are gone": gone("trials/00001"),
    "all trials' files are gone": gone("trials"),
    "files of a stranger": beside("jobs/README", lambda path: path.write_text("mine")),
    "a draft of a killed driver": beside(
        "jobs/.trial=00001.parquet.77-0123abcd", lambda path: path.write_text("half")
    ),
}
"""What neither a resume nor a report minds."""

TOLD: dict[str, tuple[Damaging, str]] = {
    "a jobs table is gone": (gone(A_JOBS_TABLE), "jobs of this trial are lost"),
    "all jobs tables are gone": (gone("jobs"), "jobs of this trial are lost"),
}
"""What they say and go on."""

REPORT_REFUSED: dict[str, tuple[Damaging, str]] = {
    "the workload is gone": (gone("workload.parquet"), "workload.parquet"),
    "the workload is changed": (flipped("workload.parquet"), "workload.parquet"),
    "the workload is empty": (becomes("workload.parquet"), "workload.parquet"),
    "the workload is a folder": (instead("workload.parquet", Path.mkdir), "workload.parquet"),
    "the report is a folder": (instead("report.html", Path.mkdir), "report.html"),
    "the settings are a folder": (instead("campaign.yaml", Path.mkdir), "campaign.yaml"),
    "a manifest of no image": (
        beside("images", lambda path: (path.mkdir(), (path / "x.json").write_text("{}"))),
        "x.json",
    ),
    "a manifest of another image": (
        beside("images", lambda path: (path.mkdir(), (path / "x.json").mkdir())),
        "x.json",
    ),
}
"""What ends both only when the file is needed."""


def _asked(all_):
    return next(line for line in reversed(all_) if b'"asked"' in line)


def _without(one, name):
    return {key: value for key, value in one.items() if key != name}
