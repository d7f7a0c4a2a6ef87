"""A bootstrap plan as an Ansible folder that does what the plan says. Pure.

ansible.cfg         forks, pipelining, connections that stay open
inventory.yml       the machines by group, and how each is reached
group_vars/NAME.yml what the machines of a group share: folders, files and units of each stage
host_vars/NAME.yml  the same where machines of a group differ
playbook.yml        a play per stage; a play begins when every machine is done with the one before
files/, secrets/    what is copied, by its path on the machines; secrets have mode 0600
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import PurePosixPath
from typing import Any

from schedulers.ansible_yaml import OneLine, TemplateText, raw, to_yaml
from schedulers.base import BootstrapPlan, File, Probe, Stage, Step

MAX_FORKS = 50
ATTEMPT_S = 1.0
"""About the least time that one question of a playbook takes: Ansible limits attempts, not
seconds."""
# How Ansible calls what a unit does when the files of its step have changed.
_ACTIONS = {"restart": "restarted", "reload": "reloaded"}
# Folders that every system has: a playbook that made them would say nothing.
_ALWAYS_THERE = {
    "/",
    "/etc",
    "/etc/default",
    "/etc/systemd/system",
    "/opt",
    "/root",
    "/run",
    "/tmp",  # noqa: S108 - a name, no file of ours
    "/usr",
    "/var",
}
_ALWAYS_THERE |= {
    f"{above}/{name}"
    for above in ("/usr", "/usr/local")
    for name in ("bin", "lib", "sbin", "share")
}
_ALWAYS_THERE |= {f"/var/{name}" for name in ("cache", "lib", "log", "spool", "tmp")}


@dataclass(frozen=True)
class Target:
    """A machine of the inventory: its node in the plan, its group, and its variables.

    By the `variables` Ansible reaches it. A group may not have the name of a node.
    """

    node: str
    group: str
    variables: Mapping[str, str | int]


@dataclass(frozen=True)
class _Play:
    """A stage, the beginning of its variables' names, and its nodes' lists by kind and node."""

    stage: Stage
    prefix: str
    lists: Mapping[str, Mapping[str, list[Any]]]

    @property
    def steps(self) -> Mapping[str, Step]:
        return self.stage.steps

    def variables(self, node: str) -> dict[str, list[Any]]:
        """Return the node's lists by variable; none where the stage concerns other nodes only."""
        return {
            f"{self.prefix}_{kind}": by_node[node]
            for kind, by_node in self.lists.items()
            if node in by_node
        }


def folder(plan: BootstrapPlan, targets: Sequence[Target]) -> tuple[File, ...]:
    """Return the folder's files, with paths relative to it; equal arguments give equal files."""
    sources = _sources(plan)
    plays = list(_plays(plan, sources))
    pages = {
        "ansible.cfg": _config(len(targets)),
        "inventory.yml": "# The machines by group, and how each is reached.\n"
        + to_yaml(_inventory(targets)),
        "playbook.yml": _PLAYBOOK_HEAD
        + "\n".join(to_yaml([_written(play, targets)]) for play in plays),
        **{
            path: "# What the plays copy and run here.\n" + to_yaml(lists)
            for path, lists in _variables(plays, targets)
        },
    }
    made = [File(path, text.encode()) for path, text in pages.items()]
    copied = {sources[key]: file for key, file in _keyed(plan)}
    kept = [
        File(path, f.content, 0o600 if f.secret else 0o644, secret=f.secret)
        for path, f in copied.items()
    ]
    return (*made, *kept)


_PLAYBOOK_HEAD = """\
# What turns booted machines into a cluster: a play per stage. Running it again changes nothing.
# The lists that the tasks go through stand in group_vars/ and host_vars/.
"""


def _config(machines: int) -> str:
    return f"""\
# Settings of the playbook beside this file.
# ansible-playbook reads them when it is started in this folder.
[defaults]
inventory = inventory.yml
remote_user = root
forks = {min(max(machines, 5), MAX_FORKS)}
interpreter_python = /usr/bin/python3

[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=60s
"""


def _inventory(targets: Sequence[Target]) -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = defaultdict(dict)
    for target in targets:
        groups[target.group][target.node] = dict(target.variables)
    return {"all": {"children": {name: {"hosts": hosts} for name, hosts in groups.items()}}}


Key = tuple[str, str, str]  # prefix of the stage, node, path


def _prefixes(plan: BootstrapPlan) -> dict[str, Stage]:
    """Return the stages by how their variables' names begin, which differs for each."""
    found: dict[str, Stage] = {}
    for number, stage in enumerate(plan.stages):
        prefix = re.sub(
            r"\W+",
            "_",
            f"stage_{stage.name}" if stage.name[:1].isdigit() else stage.name,
            flags=re.ASCII,
        )
        found[f"{prefix}_{number}" if prefix in found else prefix] = stage
    return found


def _keyed(plan: BootstrapPlan) -> Iterator[tuple[Key, File]]:
    for prefix, stage in _prefixes(plan).items():
        for node, step in stage.steps.items():
            for file in step.files:
                yield (prefix, node, file.path), file


def _sources(plan: BootstrapPlan) -> dict[Key, str]:
    """Return where in the folder each file stands.

    A file that all nodes have with the same content stands there once.
    """
    contents: dict[str, set[tuple[bytes, bool]]] = defaultdict(set)
    for (_, _, path), file in _keyed(plan):
        contents[path].add((file.content, file.secret))
    return {
        key: str(
            PurePosixPath("secrets" if file.secret else "files")
            / ("common" if len(contents[file.path]) == 1 else f"{key[0]}-{key[1]}")
            / file.path.lstrip("/")
        )
        for key, file in _keyed(plan)
    }


def _plays(plan: BootstrapPlan, sources: Mapping[Key, str]) -> Iterator[_Play]:
    made: dict[str, set[str]] = defaultdict(set)
    for prefix, stage in _prefixes(plan).items():
        lists = {
            "folders": {node: _folders(step, made[node]) for node, step in stage.steps.items()},
            "files": {
                n: [_copied(f, sources[prefix, n, f.path]) for f in s.files]
                for n, s in stage.steps.items()
            },
            "units": {node: _units(step) for node, step in stage.steps.items()},
        }
        yield _Play(
            stage,
            prefix,
            {kind: by_node for kind, by_node in lists.items() if any(by_node.values())},
        )


def _folders(step: Step, made: set[str]) -> list[Any]:
    """Return the folders that the step's files need and that no stage before has made.

    They are added to `made`.
    """
    needed = {str(PurePosixPath(file.path).parent) for file in step.files} - _ALWAYS_THERE - made
    made |= needed
    return [raw(path) for path in sorted(needed)]


def _copied(file: File, source: str) -> "OneLine":
    entry = {
        "src": raw(source),
        "dest": raw(file.path),
        "owner": file.owner,
        "mode": f"{file.mode:04o}",
    }
    return OneLine(entry | ({"secret": True} if file.secret else {}))


def _units(step: Step) -> list[Any]:
    return [
        OneLine({"name": raw(unit.name), "if_changed": _ACTIONS[unit.action]})
        for unit in step.units
    ]


def _variables(
    plays: Sequence[_Play], targets: Sequence[Target]
) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yield the files of variables by path.

    There is one for a group whose machines are alike, else one for each machine.
    """
    groups: dict[str, dict[str, dict[str, list[Any]]]] = defaultdict(dict)
    for target in targets:
        groups[target.group][target.node] = {
            k: v for play in plays for k, v in play.variables(target.node).items()
        }
    for group, hosts in groups.items():
        alike = [*hosts.values()]
        if all(lists == alike[0] for lists in alike):
            yield f"group_vars/{group}.yml", alike[0]
        else:
            yield from ((f"host_vars/{node}.yml", lists) for node, lists in hosts.items())


def _written(play: _Play, targets: Sequence[Target]) -> dict[str, Any]:
    everyone = {target.node for target in targets} == set(play.steps)
    where = partial(_where, play, targets)
    tasks = [
        *_folder_tasks(play),
        *_file_tasks(play),
        *_command_tasks(play, where),
        *_unit_tasks(play),
    ]
    return {
        "name": raw(play.stage.name),
        "hosts": "all" if everyone else ":".join(play.steps),
        # No task uses facts, and gathering them starts a Python on every machine.
        "gather_facts": False,
        # By default Ansible leaves out a machine that failed and goes on with the others.
        "any_errors_fatal": True,
        "tasks": [*tasks, *_probe_tasks(play, where)],
    }


def _where(play: _Play, targets: Sequence[Target], nodes: Collection[str]) -> list[str]:
    """Return the condition that a task is for `nodes`; none where the play has no others."""
    if set(nodes) == set(play.steps):
        return []
    for group in {target.group for target in targets}:
        if {target.node for target in targets if target.group == group} == set(nodes):
            return [f"inventory_hostname in groups['{group}']"]
    return [f"inventory_hostname in {[*nodes]}"]


def _folder_tasks(play: _Play) -> Iterator[dict[str, Any]]:
    """Yield one run of mkdir for all folders: a module for each would take seconds."""
    if "folders" in play.lists:
        yield {
            "name": "Folders",
            "ansible.builtin.command": {
                "argv": TemplateText(f"{{{{ ['mkdir', '-p', '-v'] + {play.prefix}_folders }}}}")
            },
            "register": "made",
            "changed_when": "made.stdout != ''",
            "when": f"{play.prefix}_folders | length > 0",
        }


def _file_tasks(play: _Play) -> Iterator[dict[str, Any]]:
    if "files" in play.lists:
        yield {
            "name": "Files",
            "ansible.builtin.copy": {
                "src": TemplateText("{{ item.src }}"),
                "dest": TemplateText("{{ item.dest }}"),
                "owner": TemplateText("{{ item.owner }}"),
                "group": TemplateText("{{ item.owner }}"),
                "mode": TemplateText("{{ item.mode }}"),
            },
            **_loop(f"{play.prefix}_files", "item.dest"),
            "no_log": TemplateText("{{ item.secret | default(false) }}"),
            "register": f"{play.prefix}_written",
        }


def _unit_tasks(play: _Play) -> Iterator[dict[str, Any]]:
    if "units" in play.lists:
        yield {
            "name": "Units",
            "ansible.builtin.systemd_service": {
                "name": TemplateText("{{ item.name }}"),
                "state": _unit_state(play),
            },
            **_loop(f"{play.prefix}_units", "item.name"),
        }


def _loop(variable: str, label: str) -> dict[str, Any]:
    """Return a loop through the list of each host."""
    return {
        "loop": TemplateText(f"{{{{ {variable} }}}}"),
        "loop_control": {"label": TemplateText(f"{{{{ {label} }}}}")},
    }


def _unit_state(play: _Play) -> str:
    if "files" not in play.lists:
        return "started"
    return TemplateText(
        f"{{{{ item.if_changed if {play.prefix}_written is changed else 'started' }}}}"
    )


def _command_tasks(play: _Play, where: "partial[list[str]]") -> Iterator[dict[str, Any]]:
    """Yield each sequence of commands once, for the nodes that run it."""
    runners: dict[tuple[tuple[tuple[str, ...], ...], bool], list[str]] = defaultdict(list)
    for node, step in play.steps.items():
        runners[step.commands, bool(step.files)].append(node)
    for (commands, has_files), nodes in runners.items():
        conditions = where(nodes) + ([f"{play.prefix}_written is changed"] if has_files else [])
        for command in commands:
            yield {
                "name": raw(f"Run {' '.join(command)}"[:100]),
                "ansible.builtin.command": {"argv": OneLine([raw(word) for word in command])},
                **_when(conditions),
            }


def _probe_tasks(play: _Play, where: "partial[list[str]]") -> Iterator[dict[str, Any]]:
    """Yield each probe once, for the nodes that it is asked of."""
    asked: dict[Probe, list[str]] = defaultdict(list)
    for node, step in play.steps.items():
        for probe in step.probes:
            asked[probe].append(node)
    for probe, nodes in asked.items():
        # Ansible limits how often it asks, not how long one question takes.
        limited = ("timeout", f"{probe.deadline_s:g}", *probe.command)
        yield {
            "name": raw(f"Until {probe.what}"),
            "ansible.builtin.command": {"argv": OneLine([raw(word) for word in limited])},
            # Ansible's `match` tests the beginning only, so the pattern closes the end itself.
            "vars": {"expected": raw(rf"(?:{probe.expect})\Z")},
            "register": "answer",
            "until": "answer.rc == 0 and (answer.stdout | trim) is match(expected)",
            "retries": ceil(probe.deadline_s / max(probe.interval_s, ATTEMPT_S)),
            "delay": probe.interval_s,
            "changed_when": False,
            **_when(where(nodes)),
        }


def _when(conditions: list[str]) -> dict[str, Any]:
    if not conditions:
        return {}
    return {"when": conditions[0] if len(conditions) == 1 else conditions}
