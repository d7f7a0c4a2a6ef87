"""Third-party files: an image needs them, and no mirror has them.

An image's specification names them as `[[extras]]`. They lie in one folder (the setting
`image.extras`) beside a file SHA256SUMS, as sha256sum(1) writes it; a file that isn't listed there,
or isn't what the list says, is refused.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from campaign.core.errors import ImageError
from campaign.core.files import user_path
from campaign.images.bundles.manifest import FileFact, Sha256

SUMS = "SHA256SUMS"
VARIABLE = "CAMPAIGN_EXTRAS"
DEFAULT_FOLDER = "$XDG_DATA_HOME/campaign/extras"
_SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(\S.*)")


class ThirdPartyFile(BaseModel):
    """One file that someone must provide.

    `file` is its name in the folder, `what` says what it is and `source` where it usually comes
    from. A `tar` archive is unpacked into the guest's folder `to`; a `file` becomes the guest's
    file `to` with `mode`; a `deb` is installed with what it depends on. `sha256` pins its content
    where there is but one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+~-]*$")
    what: str
    source: str
    unpack: Literal["tar", "file", "deb"]
    to: str = Field("/", pattern=r"^/[A-Za-z0-9._+/-]*$")
    mode: int = Field(0o755, ge=0, le=0o777)
    sha256: Sha256 | None = None


@dataclass(frozen=True)
class ProvidedFile:
    """A third-party file that was found and is what it should be."""

    wanted: ThirdPartyFile
    path: Path
    sha256: str

    @property
    def hook(self) -> str:
        """A shell command that puts it into the guest whose root is `$1`; a deb needs none."""
        source = shlex.quote(str(self.path))
        mode = f"{self.wanted.mode:04o}"
        if self.wanted.unpack == "tar":
            to = f'"$1"{shlex.quote(self.wanted.to)}'
            # Whoever made the archive, its files are root's in the guest.
            return f"mkdir -p {to} && tar --no-same-owner -xf {source} -C {to}"
        return f'install -D -m {mode} {source} "$1"{shlex.quote(self.wanted.to)}'


def folder_of(chosen: str | None) -> Path:
    """Return the folder of third-party files: the chosen one, the environment's, or the default."""
    return user_path(chosen or os.environ.get(VARIABLE) or DEFAULT_FOLDER)


def provided(image: str, wanted: Sequence[ThirdPartyFile], folder: Path) -> list[ProvidedFile]:
    """Return the files that `image` wants, all of them sound.

    Raises one ImageError for all that are missing or have another content: it says what each is,
    where it usually comes from, what is wrong with it, and how to provide it.
    """
    if not wanted:
        return []
    sums = _sums(folder / SUMS)
    found = [(one, *_look(one, folder, sums)) for one in wanted]
    faults = [_fault(one, wrong) for one, _, wrong in found if wrong]
    if faults:
        names = " ".join(sorted(one.file for one in wanted))
        raise ImageError(
            f"image {image} needs {len(faults)} file{'s' * (len(faults) != 1)} that no mirror has",
            "\n".join(faults),
            f"Put them into {folder} (setting image.extras, or the environment variable "
            f"{VARIABLE}), then there: "
            f"sha256sum {names} >{SUMS}",
        )
    return [ProvidedFile(one, folder / one.file, digest) for one, digest, _ in found]


def copied(found: Sequence[ProvidedFile], into: Path) -> list[ProvidedFile]:
    """Copy the files into the new folder `into`, and return the copies.

    They are used minutes after they were looked at, by root. So what is used is a copy in a folder
    of ours, and the copy is what is hashed. Raises ImageError for a file that is another by now.
    """
    into.mkdir(mode=0o700, parents=True)
    copies = []
    for one in found:
        path = into / one.wanted.file
        try:
            shutil.copyfile(one.path, path)
        except OSError as error:
            raise ImageError(f"{one.path} can't be copied", str(error)) from error
        digest = FileFact.of(path).sha256
        if digest != one.sha256:
            raise ImageError(
                f"{one.path} was changed while the image was built",
                f"sha256 before {one.sha256}\nsha256 now    {digest}",
                "Find out what writes to it, then build again.",
            )
        copies.append(ProvidedFile(one.wanted, path, digest))
    return copies


def user_hooks(users: Mapping[str, int]) -> Iterator[str]:
    """Yield shell commands that give the guest whose root is `$1` these system users.

    Each user gets a group of its own name.
    """
    for name, uid in sorted(users.items()):
        lines = {
            "passwd": f"{name}:x:{uid}:{uid}::/var/lib/{name}:/bin/sh",
            "group": f"{name}:x:{uid}:",
            # No password matches a star.
            "shadow": f"{name}:*:1::::::",
        }
        for file, line in lines.items():
            yield f'printf "%s\\n" {shlex.quote(line)} >>"$1/etc/{file}"'


def _look(wanted: ThirdPartyFile, folder: Path, sums: Mapping[str, str]) -> tuple[str, str]:
    """Return the content hash of a file, and what is wrong with the file, if anything."""
    path = folder / wanted.file
    if not path.is_file():
        return "", "it is missing"
    if wanted.file not in sums:
        return "", f"{SUMS} doesn't list it"
    digest = FileFact.of(path).sha256
    expected = wanted.sha256 or sums[wanted.file]
    if digest != expected:
        by = "the image's specification" if wanted.sha256 else SUMS
        return digest, f"its sha256 is {digest}, but {by} says {expected}"
    return digest, ""


def _fault(wanted: ThirdPartyFile, wrong: str) -> str:
    return f"{wanted.file}: {wrong}\n  {wanted.what}; usually from {wanted.source}"


def _sums(path: Path) -> dict[str, str]:
    try:
        lines: Iterable[str] = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}  # each file will be said not to be listed
    matches = filter(None, map(_SUM_LINE.fullmatch, lines))
    return {match[2]: match[1] for match in matches}
