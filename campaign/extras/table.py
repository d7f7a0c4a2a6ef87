"""Which third-party files of which image can be brought, and where their publishers have them.

Each file's name is that of the image's specification. A file that has to be built isn't here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

KUBERNETES = "v1.35.6"
VOLCANO = "v1.15.1"
VOLCANO_COMMIT = "0a56ed331897f5455916a44d3075671376d731d6"
"""What the tag VOLCANO stands for."""
KUBERNETES_RELEASES = "https://dl.k8s.io"
DOCKER_HUB = "https://registry-1.docker.io"
GITHUB_FILES = "https://raw.githubusercontent.com"
HOSTS = {
    base.removeprefix("https://"): base for base in (KUBERNETES_RELEASES, DOCKER_HUB, GITHUB_FILES)
}
"""The publishers' hosts: what a mirror may stand for."""


@dataclass(frozen=True)
class Released:
    """A file of a release; its publisher states its SHA-256 in a file beside it, `.sha256`."""

    base: str
    path: str

    @property
    def source(self) -> str:
        """What it is, in one word that names the version too."""
        return f"{self.base}/{self.path}"


@dataclass(frozen=True)
class InContainerImage:
    """A file out of a container image; the registry states SHA-256 digests of all its parts."""

    base: str
    repository: str
    tag: str
    member: str

    @property
    def source(self) -> str:
        """What it is, in one word that names the version too."""
        return f"{self.base}/{self.repository}:{self.tag}/{self.member}"


@dataclass(frozen=True)
class ArchiveOfFiles:
    """An archive that is made here, of a repository's files at one commit.

    Since equal files make equal archives, `sha256` states the content of all of them.
    """

    base: str
    repository: str
    commit: str
    files: tuple[str, ...]
    sha256: str

    @property
    def source(self) -> str:
        """What it is, in one word that names the version too."""
        return f"{self.base}/{self.repository}@{self.commit}"


Row = Released | InContainerImage | ArchiveOfFiles


def _kubernetes(name: str) -> Released:
    return Released(KUBERNETES_RELEASES, f"release/{KUBERNETES}/bin/linux/amd64/{name}")


def _volcano(name: str) -> InContainerImage:
    return InContainerImage(DOCKER_HUB, f"volcanosh/{name}", VOLCANO, name)


_CRDS = ArchiveOfFiles(
    GITHUB_FILES,
    "volcano-sh/volcano",
    VOLCANO_COMMIT,
    (
        "config/crd/jobflow/bases/flow.volcano.sh_jobflows.yaml",
        "config/crd/jobflow/bases/flow.volcano.sh_jobtemplates.yaml",
        "config/crd/volcano/bases/batch.volcano.sh_cronjobs.yaml",
        "config/crd/volcano/bases/batch.volcano.sh_jobs.yaml",
        "config/crd/volcano/bases/bus.volcano.sh_commands.yaml",
        "config/crd/volcano/bases/config.volcano.sh_colocationconfigurations.yaml",
        "config/crd/volcano/bases/nodeinfo.volcano.sh_numatopologies.yaml",
        "config/crd/volcano/bases/scheduling.volcano.sh_podgroups.yaml",
        "config/crd/volcano/bases/scheduling.volcano.sh_queues.yaml",
        "config/crd/volcano/bases/shard.volcano.sh_nodeshards.yaml",
        "config/crd/volcano/bases/topology.volcano.sh_hypernodes.yaml",
    ),
    "7d98794044f8aa046df4bde33064207719e4cd7c0abee72ab11cedc2be0b1be3",
)
FILES: dict[str, Mapping[str, Row]] = {
    "kubernetes": {
        "kube-apiserver": _kubernetes("kube-apiserver"),
        "kube-controller-manager": _kubernetes("kube-controller-manager"),
        "kube-scheduler": _kubernetes("kube-scheduler"),
        "kubelet": _kubernetes("kubelet"),
        "vc-scheduler": _volcano("vc-scheduler"),
        "vc-controller-manager": _volcano("vc-controller-manager"),
        "volcano-crds.tar": _CRDS,
    }
}
"""The files of each image, by their names in the folder of third-party files."""
