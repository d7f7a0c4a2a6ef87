"""Accounts, users and qualities of service, from what sacctmgr prints.

That is `sacctmgr dump CLUSTER file=FILE`, `sacctmgr -P show assoc` and `sacctmgr -P show qos`, with
any columns in any order; which of them a file is, its content tells.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign.core.errors import ConfigError
from schedulers.slurm.associations import UNASKED
from schedulers.slurm.conf_file import ConfPair, content_of
from schedulers.slurm.site_limits import SlurmLimit, limits_of
from schedulers.slurm.site_notes import NOTHING, Notes, is_name, pairs_of
from schedulers.slurm.site_partitions import Preemption
from schedulers.slurm.site_qos import read_qos
from schedulers.slurm.site_tables import table_rows

ROOT = "root"
DUMPED = re.compile(r"(\w+) - ('[^']*'|[^:\s]+)(.*)")
OPTION = re.compile(r":([A-Za-z]+)=('[^']*'|[^:']*)")
SHARES = ("fairshare", "share", "rawshares")
MOST_SHARES = 1_000_000_000
LIMITS = {
    "grpjobs": SlurmLimit("in_all", "max_jobs"),
    "grpsubmit": SlurmLimit("in_all", "max_submitted"),
    "grpsubmitjobs": SlurmLimit("in_all", "max_submitted"),
    "grptres": SlurmLimit("in_all"),
    "grpcpus": SlurmLimit("in_all", "max_slots"),
    "grpnodes": SlurmLimit("in_all", "max_nodes"),
    "maxtres": SlurmLimit("per_job"),
    "maxtrespj": SlurmLimit("per_job"),
    "maxtresperjob": SlurmLimit("per_job"),
    "maxcpus": SlurmLimit("per_job", "max_slots"),
    "maxcpusperjob": SlurmLimit("per_job", "max_slots"),
    "maxnodes": SlurmLimit("per_job", "max_nodes"),
    "maxnodesperjob": SlurmLimit("per_job", "max_nodes"),
    "maxwall": SlurmLimit("per_job", "max_time_s"),
    "maxwallpj": SlurmLimit("per_job", "max_time_s"),
    "maxwalldurationperjob": SlurmLimit("per_job", "max_time_s"),
}
OF_USERS = {
    "maxjobs": SlurmLimit("in_all", "max_jobs"),
    "maxsubmit": SlurmLimit("in_all", "max_submitted"),
    "maxsubmitjobs": SlurmLimit("in_all", "max_submitted"),
}
"""Limits of a user; set for an account, they hold for each of its users by themselves."""
DECIDE = frozenset(
    """
    grpcpumins grpcpurunmins grptresmins grptresrunmins grpwall maxcpumins maxcpuminsperjob
    maxtresmins maxtresminspj maxtresminsperjob maxtrespernode maxtrespn partition priority
    """.split()  # noqa: SIM905 - a list would take a line for each
)
WHO = frozenset({"account", "user", "parentname", "parname", "defaultaccount", "cluster"})


@dataclass
class People:
    """Accounts, users and qualities of service, as settings of the cluster by name."""

    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    qos: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Association:
    """An account, or a user in one, with what a line says of it."""

    account: str
    user: str
    parent: str
    pairs: Mapping[str, ConfPair]


def read_people(files: Iterable[Path], preemption: Preemption, notes: Notes) -> People:
    """Return who is in the files; ConfigError for a file that is none of sacctmgr's."""
    people = People()
    found: list[Association] = []
    for file in files:
        lines = content_of(file).splitlines()
        head = next((line for line in lines if line.strip()), "")
        columns = {name.strip().lower() for name in head.split("|")}
        if {"account", "user"} <= columns:
            found += _of_table(file, lines)
        elif "name" in columns and len(columns) > 1:
            people.qos |= read_qos(file, lines, preemption, notes)
        else:
            found += _dumped(file, lines, notes)
    _keep_accounts(found, people, notes)
    _keep_users(found, people, notes)
    _tidy(people, notes)
    return people


def _of_table(file: Path, lines: list[str]) -> Iterator[Association]:
    above: list[tuple[int, str]] = []
    for number, row in table_rows(file, lines):
        pairs = pairs_of(file, number, row)
        account = pairs["account"].value
        name = account.strip()
        parent = pairs.get("parentname") or pairs.get("parname")
        depth = len(account) - len(account.lstrip())
        # `show assoc tree` indents an account below its parent.
        above = [each for each in above if each[0] < depth]
        told = parent.value.strip() if parent else (above[-1][1] if above else "")
        above.append((depth, name))
        yield Association(name, pairs["user"].value.strip(), told, pairs)


def _dumped(file: Path, lines: list[str], notes: Notes) -> Iterator[Association]:
    parent = ROOT
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = DUMPED.fullmatch(text)
        options = OPTION.findall(match[3]) if match else []
        written = "".join(f":{key}={value}" for key, value in options)
        if match is None or written != match[3]:
            raise ConfigError(
                f"{file}, line {number}: no line of sacctmgr's: {text[:80]!r}",
                resolution="Give what sacctmgr dump, or sacctmgr -P show assoc or qos, prints.",
            )
        kind = match[1].lower()
        name = match[2].strip("'")
        fields = {match[1]: name} | {key: value.strip("'") for key, value in options}
        pairs = pairs_of(file, number, fields)
        if kind == "parent":
            parent = name
            notes.add(pairs["parent"], "cluster")
        elif kind == "account":
            yield Association(name, "", parent, pairs)
        elif kind == "user":
            yield Association(parent, name, "", pairs)
        else:
            for pair in pairs.values():
                notes.add(pair, "other")


def _keep_accounts(found: Iterable[Association], people: People, notes: Notes) -> None:
    for one in found:
        if one.user:
            continue
        _note(one, notes)
        if one.account == ROOT:
            continue
        if not is_name(one.account):
            notes.add(one.pairs["account"], "refused", "no name that can be kept")
            continue
        settings = _common(one, notes)
        parent = one.parent if one.parent and one.parent not in (ROOT, one.account) else None
        inherited = limits_of(one.pairs, OF_USERS, notes).get("in_all", {})
        people.accounts[one.account] = {**settings, "parent": parent, "of_users": inherited}


def _keep_users(found: Iterable[Association], people: People, notes: Notes) -> None:
    for one in found:
        if not one.user:
            continue
        _note(one, notes)
        if one.user == ROOT:
            notes.add(one.pairs["user"], "other", "nodes have a root for themselves")
            continue
        if not is_name(one.user) or one.account not in people.accounts:
            why = "no name that can be kept, or an account that no line describes"
            notes.add(one.pairs["user"], "refused", why)
            continue
        if "partition" in one.pairs and one.pairs["partition"].value:
            notes.add(one.pairs["partition"], "missing", "an association with a partition")
            continue
        _keep_user(one, people, notes)


def _keep_user(one: Association, people: People, notes: Notes) -> None:
    default = one.pairs.get("defaultaccount")
    settings = _common(one, notes)
    limits = limits_of(one.pairs, OF_USERS, notes).get("in_all", {})
    limits = {**people.accounts[one.account]["of_users"], **settings.get("in_all", {}), **limits}
    settings["in_all"] = limits
    known = people.users.get(one.user)
    first = known is None or (default is not None and default.value == one.account)
    accounts = known["accounts"] if known else []
    if known and {**known, "accounts": []} != {**settings, "accounts": []}:
        notes.say(
            "users whose shares, limits or qualities of service differ between their accounts "
            "have those of their default account in all"
        )
    ordered = [one.account, *accounts] if first else [*accounts, one.account]
    kept = settings if first or known is None else known
    people.users[one.user] = {**kept, "accounts": list(dict.fromkeys(ordered))}


def _common(one: Association, notes: Notes) -> dict[str, Any]:
    """Return shares, limits and qualities of service of an account or a user."""
    settings: dict[str, Any] = dict(limits_of(one.pairs, LIMITS, notes))
    share = next((one.pairs[key] for key in SHARES if key in one.pairs), None)
    if share is not None:
        notes.add(share, "cluster")
        if share.value.lower() == "parent":
            notes.add(share, "missing", "a share of its own of 1 is given in the place of parent's")
        elif (shares := notes.whole(share, 0, MOST_SHARES)) is not None:
            settings["shares"] = shares
    settings["qos"] = _qos(one, notes)
    return settings


def _qos(one: Association, notes: Notes) -> list[str]:
    pair = one.pairs.get("qos") or one.pairs.get("qoslevel")
    default = one.pairs.get("defaultqos") or one.pairs.get("defqos")
    names: list[str] = []
    if pair is not None and pair.value:
        notes.add(pair, "cluster")
        words = [word.strip() for word in pair.value.split(",") if word.strip()]
        if any(word.startswith("-") for word in words):
            notes.add(pair, "missing", "what is taken away from its parent's is not expressed here")
        names = [word.lstrip("+") for word in words if not word.startswith("-")]
    if default is not None and default.value:
        notes.add(default, "cluster")
        names = [default.value, *names]
    elif UNASKED in names:
        names = [UNASKED, *names]  # Slurm lists them by name, and takes this one unasked
    return list(dict.fromkeys(filter(is_name, names)))


def _tidy(people: People, notes: Notes) -> None:
    """Leave out what names something that no file describes."""
    for account in people.accounts.values():
        del account["of_users"]
        if account["parent"] not in people.accounts:
            account["parent"] = None
    for name in people.accounts:
        _cut_circle(name, people)
    strange: set[str] = set()
    for one in (*people.accounts.values(), *people.users.values()):
        strange.update(qos for qos in one["qos"] if qos not in people.qos)
        one["qos"] = [qos for qos in one["qos"] if qos in people.qos]
    if strange:
        shown = ", ".join(sorted(strange)[:5])
        notes.say(f"no file describes qualities of service that are named: {shown}")


def _cut_circle(name: str, people: People) -> None:
    seen = {name}
    above = people.accounts[name]["parent"]
    while above is not None:
        if above in seen:
            people.accounts[name]["parent"] = None
            return
        seen.add(above)
        above = people.accounts[above]["parent"]


def _note(one: Association, notes: Notes) -> None:
    """Note a first verdict on each setting of a line."""
    for key, pair in one.pairs.items():
        if key in WHO:
            notes.add(pair, "cluster")
        elif pair.value.strip().lower() not in NOTHING:
            notes.add(pair, "missing" if key in DECIDE else "other")
