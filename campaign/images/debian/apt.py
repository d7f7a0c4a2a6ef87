"""Ask a Debian mirror which packages an image gets, through an apt of our own.

The machine's own apt stays untouched. Versions are compared by apt alone. Of control files we read
paragraphs and fields, which takes two short functions; python-debian would replace only these, and
the index needs each paragraph as the mirror has written it.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from campaign.core.errors import ImageError
from campaign.images.bundles import tools
from campaign.images.bundles.manifest import FileFact
from campaign.images.debian.lock import Lock, LockedPackage

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEBIAN_SUITE = re.compile(r"^(bookworm|trixie|forky|stable|testing|sid|unstable)$")
_SECURITY_SUITE = re.compile(r"^\w+-security$|^\w+/updates$")
_PRINTED_URI = re.compile(r"^'[^']*' (\S+)\.deb \d+", re.MULTILINE)


@dataclass(frozen=True)
class AptSource:
    """One line of an apt configuration: a mirror and the suites taken from it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True)
class Mirror:
    """Where Debian comes from: the archive, and the security archive if the machine uses one."""

    archive: str
    security: str | None = None

    def sources(self, suite: str) -> str:
        """Return a sources.list for `suite` with its updates."""
        options = f"[arch=amd64 signed-by={KEYRING}]"
        lines = [
            f"deb {options} {self.archive} {name} main" for name in (suite, f"{suite}-updates")
        ]
        if self.security:
            lines.append(f"deb {options} {self.security} {suite}-security main")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Package:
    """A package that the mirror has: its facts, and its paragraph of the index."""

    locked: LockedPackage
    paragraph: str

    @property
    def filename(self) -> str:
        """What `apt-get download` calls the file."""
        # apt writes the colon of an epoch like this in file names.
        version = self.locked.version.replace(":", "%3a")
        return f"{self.locked.name}_{version}_{self.locked.architecture}.deb"


def configured_mirror(root: Path = Path("/etc/apt")) -> Mirror:
    """Return the Debian mirror that this machine's own apt uses; ImageError if it uses none."""
    files = [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]
    lines = [source for file in files if file.is_file() for source in parse_list(file.read_text())]
    stanzas = [
        source
        for file in sorted((root / "sources.list.d").glob("*.sources"))
        for source in parse_deb822(file.read_text())
    ]
    return choose_mirror([*lines, *stanzas])


def choose_mirror(sources: Iterable[AptSource]) -> Mirror:
    """Return the first sources that serve a Debian release's main and its security updates.

    Raises ImageError if there is no such release.
    """
    usable = [source for source in sources if "main" in source.components]
    archives = [source.uri for source in usable if any(map(_DEBIAN_SUITE.match, source.suites))]
    security = [source.uri for source in usable if any(map(_SECURITY_SUITE.match, source.suites))]
    if not archives:
        raise ImageError(
            "no Debian mirror in this machine's apt sources (/etc/apt)",
            "\n".join(source.uri for source in usable),
            "name one: hpc-campaign image build slurm --mirror URI",
        )
    return Mirror(archives[0], security[0] if security else None)


def parse_list(text: str) -> list[AptSource]:
    """Return the `deb` lines of a one-line-style sources file; other lines are skipped."""
    found = []
    for line in text.splitlines():
        # Options in brackets may hold spaces.
        words = re.sub(r"\[[^]]*\]", " ", line.partition("#")[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            found.append(AptSource(words[1].rstrip("/"), (words[2],), tuple(words[3:])))
    return found


def parse_deb822(text: str) -> list[AptSource]:
    """Return the enabled `deb` stanzas of a .sources file, one source per URI."""
    found = []
    for stanza in paragraphs(text):
        fields = {name.lower(): value.split() for name, value in parse_fields(stanza).items()}
        enabled = [word.lower() for word in fields.get("enabled", ["yes"])] not in (
            ["no"],
            ["false"],
        )
        if enabled and "deb" in fields.get("types", []):
            suites = tuple(fields.get("suites", []))
            components = tuple(fields.get("components", []))
            found += [
                AptSource(uri.rstrip("/"), suites, components) for uri in fields.get("uris", [])
            ]
    return found


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a control file, without comment lines."""
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [part for part in re.split(r"\n\s*\n", plain) if part.strip()]


def parse_fields(paragraph: str) -> dict[str, str]:
    """Return names and values of a paragraph's fields; line breaks join continuation lines."""
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line[:1].isspace() and name:
            fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


def parse_package(paragraph: str) -> Package:
    """Return the package of one paragraph of `apt-cache show`.

    Raises ImageError if a field that a lock needs is missing.
    """
    fields = parse_fields(paragraph)
    try:
        locked = LockedPackage(
            name=fields["Package"],
            version=fields["Version"],
            architecture=fields["Architecture"],
            sha256=fields["SHA256"],
        )
    except KeyError as error:
        raise ImageError(f"the mirror's index lacks {error} for a package", paragraph) from error
    return Package(locked, paragraph)


class Apt:
    """An apt whose state, cache and configuration live in `folder`.

    It knows one mirror, and the package files `debs`, whose packages' names are `own`.
    """

    def __init__(self, folder: Path, mirror: Mirror, suite: str, debs: Iterable[Path] = ()) -> None:
        self.folder = folder
        ours = [package_of_file(path) for path in debs]
        self.own = tuple(package.locked.name for package in ours)
        for name in (
            "etc/preferences.d",
            "etc/apt.conf.d",
            "etc/trusted.gpg.d",
            "state/lists/partial",
            "cache/archives",
        ):
            (folder / name).mkdir(parents=True)
        # With an empty status nothing counts as installed, so a closure is complete.
        (folder / "status").touch()
        (folder / "etc/sources.list").write_text(
            mirror.sources(suite) + _offer(ours, folder / "own", suite)
        )
        self._config = folder / "apt.conf"
        self._config.write_text(_configuration(folder))
        # By default apt only warns of lists that it couldn't fetch.
        self._run("apt-get", "update", "--error-on=any")

    def pin(self, lock: Lock) -> None:
        """Prefer the locked versions wherever the mirror still has them."""
        # A priority above 1000 holds even where it means an older version.
        pins = (
            f"Package: {p.name}\nPin: version {p.version}\nPin-Priority: 1001\n"
            for p in lock.packages
        )
        (self.folder / "etc/preferences.d/lock").write_text("\n".join(pins))

    def candidates(self, names: Iterable[str]) -> list[Package]:
        """Return the preferred version of each package; ImageError if the mirror lacks one."""
        text = self._run("apt-cache", "show", "--no-all-versions", *names)
        return [parse_package(paragraph) for paragraph in paragraphs(text)]

    def closure(self, names: Iterable[str]) -> list[Package]:
        """Return `names`, all that they depend on, and every essential package.

        Recommended packages are left out.
        """
        # Nothing is installed: apt only prints what it would fetch.
        text = self._run(
            "apt-get",
            "install",
            "--yes",
            "--print-uris",
            "--no-install-recommends",
            "?essential",
            *names,
        )
        chosen = [unquote(name).split("_") for name in _PRINTED_URI.findall(text)]
        return self.candidates(f"{name}={version}" for name, version, _ in chosen)

    def kernel(self, name: str) -> list[Package]:
        """Return the kernel metapackage `name` and the kernel that it stands for.

        What they depend on is left out: modules are taken from the kernel's package itself.
        """
        meta = self.candidates([name])[0]
        needed = parse_fields(meta.paragraph).get("Depends", "").split()
        if not needed:
            raise ImageError(f"{name} depends on no kernel", meta.paragraph)
        return [meta, *self.candidates([needed[0]])]

    def download(self, packages: Iterable[Package], folder: Path) -> None:
        """Download the package files into `folder`.

        Raises ImageError unless each has the content that the index promises.
        """
        wanted = list(packages)
        self._run(
            "apt-get",
            "download",
            *(f"{p.locked.name}={p.locked.version}" for p in wanted),
            cwd=folder,
        )
        for package in wanted:
            found = FileFact.of(folder / package.filename).sha256
            if found != package.locked.sha256:
                details = f"expected sha256 {package.locked.sha256}\nfound    sha256 {found}"
                raise ImageError(
                    f"package {package.filename} came damaged from the mirror", details, "try again"
                )

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        return tools.run(
            arguments, env={"APT_CONFIG": str(self._config)}, cwd=cwd, folder=self.folder
        )


def package_of_file(path: Path) -> Package:
    """Return the package in the .deb file at `path`; raise ImageError if it holds none.

    Its index entry names the file where it is.
    """
    control = tools.run(["dpkg-deb", "--field", str(path)]).rstrip()
    fact = FileFact.of(path)
    return parse_package(f"{control}\nFilename: {path}\nSize: {fact.size}\nSHA256: {fact.sha256}\n")


def _offer(packages: list[Package], folder: Path, suite: str) -> str:
    """Copy package files into the archive `folder`; return its line of a sources.list."""
    if not packages:
        return ""
    folder.mkdir()
    for package in packages:
        shutil.copyfile(parse_fields(package.paragraph)["Filename"], folder / package.filename)
    write_index(packages, folder, suite)
    # Without a signature, since the files are ours and were checked by their hashes.
    return f"deb [trusted=yes] copy:{folder} ./\n"


def _configuration(folder: Path) -> str:
    settings: Mapping[str, str] = {
        "Dir": str(folder),
        "Dir::State": "state",
        "Dir::State::status": str(folder / "status"),
        "Dir::Cache": "cache",
        "Dir::Etc": "etc",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        # Our folder is private; the sandbox's user could not write to it.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
    }
    return "".join(f'{name} "{value}";\n' for name, value in settings.items())


def write_index(packages: Iterable[Package], folder: Path, suite: str) -> None:
    """Make `folder`, which holds the files of `packages`, an archive of just these packages."""
    index = "\n".join(_local_paragraph(package) for package in packages)
    (folder / "Packages").write_text(index)
    fact = FileFact.of(folder / "Packages")
    (folder / "Release").write_text(
        f"Suite: {suite}\nCodename: {suite}\nSHA256:\n {fact.sha256} {fact.size} Packages\n"
    )


def _local_paragraph(package: Package) -> str:
    return (
        re.sub(r"(?m)^Filename:.*$", f"Filename: ./{package.filename}", package.paragraph).strip()
        + "\n"
    )
