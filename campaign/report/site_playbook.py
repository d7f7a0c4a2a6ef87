"""The change by which a site would run as a trial did, as a playbook for Ansible.

Each run of lines that changes is one task, which replaces exactly those lines; lines that are new
go to the file's end. A file in which neither the old nor the new lines stand is left alone, and
the play fails: it isn't the one that the change was made for.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from campaign.core.errors import ConfigError
from campaign.core.trials import TrialRecord
from campaign.report.site_patch import effects_of, settings_of
from schedulers.ansible_yaml import TemplateText, raw, to_yaml
from schedulers.site_settings import SiteChange

FOLDER = "/etc/slurm"
"""Where a site has its files, unless they were read from somewhere below /etc."""
HANDLER = "tell the scheduler"
TELL = "scontrol reconfigure"
_CONTENT = "(site_file.content | b64decode)"
USAGE = """\
# ansible-playbook --check --diff FILE     what would change, and nothing else
# ansible-playbook FILE                    on the host group slurm_controllers; -e site_hosts=NAME
# Each changed file keeps a backup beside it. A second run changes nothing.
"""


class Edit(NamedTuple):
    """Lines of a file that change: as they are and as they would be; the end has no old ones."""

    old: tuple[str, ...]
    new: tuple[str, ...]


def site_playbook(
    found: SiteChange,
    conf: Path,
    record: TrialRecord,
    baseline: TrialRecord | None,
    *,
    objectives: Iterable[str],
    helps: Mapping[str, str],
) -> str:
    """Return the playbook; `conf` is the site's main file, `helps` says what settings are.

    Raises ConfigError where the lines that change can't be told from others of their file.
    """
    head = [*effects_of(record, baseline, objectives), *settings_of(found, record, helps)]
    folder = str(conf.parent) if conf.is_relative_to("/etc") else FOLDER
    tasks = [
        task
        for file, (old, new) in found.contents.items()
        for task in _tasks(file, _place(file, conf), edits(file, old, new))
    ]
    play = {
        "name": f"Settings of trial {record.number}",
        "hosts": TemplateText("{{ site_hosts | default('slurm_controllers') }}"),
        "become": TemplateText("{{ site_become | default(true) }}"),
        "gather_facts": False,
        "vars": {"site_folder": folder, "site_tell": TELL},
        "tasks": tasks,
        "handlers": [
            {
                "name": HANDLER,
                "ansible.builtin.command": TemplateText("{{ site_tell }}"),
                "run_once": True,
                "changed_when": True,
            }
        ],
    }
    return "\n".join(head) + "\n#\n" + USAGE + "---\n" + to_yaml([play])


def edits(file: Path, old: str, new: str) -> list[Edit]:
    """Return the changes from one content to the other, by lines.

    Raises ConfigError where lines that change stand there twice, or new ones in between.
    """
    before = old.splitlines()
    after = new.splitlines()
    found: list[Edit] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        lines = tuple(before[start:end])
        changed = tuple(after[new_start:new_end])
        if lines and end == len(before) and changed[: len(lines)] == lines:
            lines = ()
        at_end = not lines and start == len(before)
        count = sum(tuple(before[at : at + len(lines)]) == lines for at in range(len(before)))
        if not at_end and (not lines or count > 1):
            raise ConfigError(
                f"{file}, line {start + 1}: {' '.join(lines)!r} can't be told from other lines",
                resolution="Give each setting one line, or use `export config` and patch.",
            )
        found.append(Edit(lines, changed))
    return found


def _place(file: Path, conf: Path) -> str:
    """Return where a file is on the site's machines."""
    folder = conf.parent
    if file.is_relative_to(folder):
        return f"{{{{ site_folder }}}}/{file.relative_to(folder)}"
    return str(file)


def _tasks(file: Path, place: str, found: Iterable[Edit]) -> Iterator[dict[str, Any]]:
    changes = list(found)
    replaced = [one for one in changes if one.old]
    path = TemplateText(place)
    if replaced:
        yield {
            "name": f"Read {file.name}",
            "ansible.builtin.slurp": {"src": path},
            "register": "site_file",
        }
    for one in replaced:
        yield {
            "name": f"{file.name} is the file that this was made for",
            "ansible.builtin.assert": {
                "that": f"{_CONTENT} is search(pattern, multiline=true)",
                "fail_msg": f"{file.name} has changed since: export the trial against it anew",
                "quiet": True,
            },
            "vars": {"pattern": raw(_pattern(one.old)), "changed": raw(_pattern(one.new))},
            "when": f"{_CONTENT} is not search(changed, multiline=true)",
        }
        yield {"name": f"Change {_named(one)}", **_replace(path, one)}
    for one in changes:
        if not one.old:
            yield from _added(path, one)


def _pattern(lines: Iterable[str]) -> str:
    """Return the pattern of whole lines, one after the other."""
    return "^" + "\n".join(re.escape(line) for line in lines) + "$"


def _replace(path: TemplateText, one: Edit) -> dict[str, Any]:
    return {
        "ansible.builtin.replace": {
            "path": path,
            "regexp": raw(_pattern(one.old)),
            "replace": raw("\n".join(one.new).replace("\\", "\\\\")),
            "backup": True,
        },
        "notify": HANDLER,
    }


def _added(path: TemplateText, one: Edit) -> Iterator[dict[str, Any]]:
    for line in one.new:
        yield {
            "name": f"Add {line.partition('=')[0]}",
            "ansible.builtin.lineinfile": {"path": path, "line": raw(line), "backup": True},
            "notify": HANDLER,
        }


def _named(one: Edit) -> str:
    keys = (re.match(r"\s*#?\s*(\w+)", line) for line in one.new)
    return ", ".join(dict.fromkeys(found[1] for found in keys if found)) or "lines"
