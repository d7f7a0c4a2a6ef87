"""The guest contract as checks, so that no plan needs to know which builder made an image.

A `Guest` is read from a root file system that is there (`of_tree`), or from what an evaluated NixOS
configuration says that one would be (`of_evaluation`). What plans need comes from
`schedulers.requirements`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from campaign.images.debian import builder
from schedulers.requirements import Requirements

TARGET = "node.target"
STARTED = frozenset({"ssh.service", "node-network.service", "trial-agent.service"})
CREDENTIALS = frozenset({"ssh.authorized_keys.root", "tmpfiles.*"})
"""The credentials that systemd-tmpfiles-setup.service imports.

`system.hostname` is for systemd itself, where no file names it.
"""
GIVEN = (
    "/etc/hostname",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/munge/munge.key",
    "/var/lib/systemd/random-seed",
)
"""Files that each node gets or makes for itself."""
TOOLS = frozenset({"bash", "ip", "python3", "sshd", "systemctl", "systemd-tmpfiles", "tail", "tar"})
"""Programs of instruments and plans, whatever the scheduler."""

_UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system")
_PROGRAM_FOLDERS = ("usr/bin", "usr/sbin")


@dataclass(frozen=True)
class Guest:
    """An image as its contract sees it.

    `starts` are the units that its default target `target` wants, `units` all that there are;
    `users` are by name, with their id or None where the image draws one; `programs` are on PATH;
    `credentials` are imported by the unit that writes them down; `files` are those of GIVEN that it
    has.
    """

    kernel_cmdline: str
    facts: Mapping[str, str]
    target: str
    starts: frozenset[str]
    units: frozenset[str]
    users: Mapping[str, int | None]
    programs: frozenset[str]
    credentials: frozenset[str]
    files: frozenset[str]

    @classmethod
    def of_evaluation(cls, value: Any) -> Self:
        """Return the guest that the flake's `lib.guests.SYSTEM.NAME` describes, as JSON.

        Raises pydantic's ValidationError if it doesn't describe one.
        """
        guest = TypeAdapter(cls).validate_python(value)
        return replace(guest, files=guest.files & frozenset(GIVEN))

    @classmethod
    def of_tree(cls, root: Path, *, kernel_cmdline: str, facts: Mapping[str, str]) -> Self:
        """Return the guest whose unpacked root file system is `root`; its manifest has the rest."""
        folders = [root / folder for folder in _UNIT_FOLDERS]
        # The link leads to a path inside the guest, so it can't be followed from here.
        target = (root / "etc/systemd/system/default.target").readlink().name
        return cls(
            kernel_cmdline=kernel_cmdline,
            facts=facts,
            target=target,
            starts=frozenset(_words(folders, target, "Wants")),
            units=frozenset(
                path.name for folder in folders for path in folder.iterdir() if path.suffix
            ),
            users={
                name: int(number)
                for name, _, number, *_ in (
                    line.split(":") for line in (root / "etc/passwd").read_text().splitlines()
                )
            },
            programs=frozenset(
                path.name for folder in _PROGRAM_FOLDERS for path in (root / folder).iterdir()
            ),
            credentials=frozenset(
                _words(folders, "systemd-tmpfiles-setup.service", "ImportCredential")
            ),
            files=frozenset(path for path in GIVEN if (root / path.lstrip("/")).exists()),
        )


def violations(name: str, guest: Guest, required: Requirements) -> Iterator[str]:
    """Yield a line for whatever the image `name`, seen as `guest`, lacks or must not have.

    `required` is what its scheduler's adapter needs.
    """
    shared = builder.spec("_base")
    own = builder.spec(name)
    yield from _cmdline(guest.kernel_cmdline.split(), shared.kernel_cmdline, own.kernel_cmdline)
    if guest.target != TARGET:
        yield f"it boots into {guest.target}, not {TARGET}"
    yield from (f"{unit} isn't started" for unit in sorted(STARTED - guest.starts))
    yield from (
        f"the credential {one} isn't written down"
        for one in sorted(CREDENTIALS - guest.credentials)
    )
    yield from (
        f"{path} is in the image, but it is each node's own" for path in sorted(guest.files)
    )
    yield from (f"no program {one}" for one in sorted((TOOLS | required.programs) - guest.programs))
    yield from (f"no unit {unit}" for unit in sorted(required.units - guest.units))
    yield from (f"{unit} starts by itself" for unit in sorted(required.units & guest.starts))
    yield from (f"no user {user}" for user in sorted(required.users - guest.users.keys()))
    for user, number in own.users.items():
        if guest.users.get(user) != number:
            yield f"user {user} has the id {guest.users.get(user)}, not {number}"
    yield from (f"no fact {fact}" for fact in sorted(own.facts.keys() - guest.facts.keys()))


def _cmdline(words: list[str], shared: tuple[str, ...], own: tuple[str, ...]) -> Iterator[str]:
    if tuple(words[: len(shared)]) != shared:
        yield f"the kernel command line doesn't begin with {' '.join(shared)}"
    yield from (f"the kernel command line lacks {word}" for word in own if word not in words)


def _words(folders: list[Path], unit: str, key: str) -> Iterator[str]:
    """Yield the words that a unit has under `key`; the first folder with the unit counts."""
    path = next(folder / unit for folder in folders if (folder / unit).is_file())
    for line in re.findall(rf"^{key}=(.*)$", path.read_text(), re.MULTILINE):
        yield from line.split()
