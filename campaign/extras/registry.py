"""Takes a file out of a container image, by the distribution API of the Open Container Initiative.

Every part of an image is named by its SHA-256 digest, down from the one that the registry states
for the tag. What needs signing in isn't asked for: the images are public.
"""

import hashlib
import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from campaign.core.errors import ImageError
from campaign.core.files import storage_errors, writing_atomically
from campaign.extras.download import Downloads, Stated, Watch
from campaign.extras.table import InContainerImage

PLATFORM = ("linux", "amd64")
MOST_MEMBER_BYTES = 1 << 30
"""A file of an image may not be larger."""
_ACCEPTED = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Registry:
    """One repository of a registry, as anybody may read it."""

    def __init__(self, downloads: Downloads, image: InContainerImage) -> None:
        self._downloads = downloads
        self._image = image
        self._headers: Mapping[str, str] = {}
        self._api = f"{image.base}/v2/{image.repository}"

    def take_out(self, target: Path, watch: Watch) -> None:
        """Bring the image's layers, the last one first, until one has the file.

        The file is `target` then; of the layers nothing is left. Raises ImageError.
        """
        for layer in reversed(self._layers()):
            digest = layer["digest"]
            packed = target.parent / f".{target.name}.layer"
            url = f"{self._api}/blobs/{digest}"
            stated = Stated(digest.removeprefix("sha256:"), f"the manifest of {self._image.source}")
            self._downloads.bring(url, packed, stated, watch, self._headers)
            try:
                if _unpack(packed, self._image.member, target):
                    return
            finally:
                packed.unlink()
        raise ImageError(
            f"the container image of {self._image.source} has no such file",
            "",
            "A newer hpc-campaign may know where the file is.",
        )

    def _layers(self) -> Sequence[Mapping[str, Any]]:
        """Return the layers for PLATFORM, the lowest first."""
        found = self._manifest(self._image.tag)
        if "manifests" in found:
            found = self._manifest(self._of_platform(found["manifests"]))
        layers = found.get("layers", ())
        if not all(_DIGEST.fullmatch(str(layer.get("digest"))) for layer in layers):
            raise self._unreadable("a layer without a SHA-256 digest")
        return list(layers)

    def _of_platform(self, manifests: Sequence[Mapping[str, Any]]) -> str:
        for one in manifests:
            platform = one.get("platform", {})
            if (platform.get("os"), platform.get("architecture")) == PLATFORM:
                return str(one.get("digest"))
        raise self._unreadable(f"nothing for {'/'.join(PLATFORM)}")

    def _manifest(self, reference: str) -> Mapping[str, Any]:
        """Return a manifest, verified by its digest."""
        url = f"{self._api}/manifests/{reference}"
        content, stated = self._ask(url)
        if _DIGEST.fullmatch(reference):
            stated = reference
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if stated and digest != stated:
            raise ImageError(
                f"{self._downloads.address(url)} is not what the registry states",
                f"digest of what came       {digest}\ndigest by the registry    {stated}",
                "Nothing of it was kept. If a mirror stands between, look at what it sends.",
            )
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._unreadable("a manifest that is none")
        return found

    def _ask(self, url: str) -> tuple[bytes, str]:
        """Return a manifest's bytes and its digest by the registry, which may want a token."""
        headers = {"Accept": _ACCEPTED}
        with self._downloads.answer(url, {**headers, **self._headers}, allowed=(401,)) as answer:
            if answer.status_code != 401:
                content = self._downloads.body(answer, url)
                return content, answer.headers.get("Docker-Content-Digest", "")
            challenge = answer.headers.get("WWW-Authenticate", "")
        self._headers = self._token(challenge)
        with self._downloads.answer(url, {**headers, **self._headers}) as answer:
            content = self._downloads.body(answer, url)
            return content, answer.headers.get("Docker-Content-Digest", "")

    def _token(self, challenge: str) -> Mapping[str, str]:
        """Return the header with the token that a registry's challenge asks for."""
        said = dict(_CHALLENGE.findall(challenge))
        realm = said.pop("realm", "")
        if not challenge.startswith("Bearer ") or not realm:
            raise self._unreadable("a registry that nobody may read without signing in")
        content = self._downloads.text(f"{realm}?{urlencode(said)}")
        try:
            answer = json.loads(content)
            return {"Authorization": f"Bearer {answer.get('token') or answer['access_token']}"}
        except (ValueError, KeyError, AttributeError):
            raise self._unreadable("no token where the registry sends us for one") from None

    def _unreadable(self, what: str) -> ImageError:
        return ImageError(
            f"{self._downloads.address(self._api)}: {what}",
            f"asked for {self._image.source}",
            "If this is a mirror, look at what it sends.",
        )


def _unpack(layer: Path, member: str, target: Path) -> bool:
    """Write a layer's file to `target`; return False where the layer has no such file."""
    try:
        with tarfile.open(layer) as archive:
            for entry in archive:
                if entry.name.removeprefix("./") != member or not entry.isreg():
                    continue
                if entry.size > MOST_MEMBER_BYTES:
                    raise ImageError(f"{member} of a layer claims {entry.size:,} bytes")
                file = archive.extractfile(entry)
                assert file is not None  # noqa: S101 - it is a regular file
                with storage_errors(target), writing_atomically(target) as written:
                    shutil.copyfileobj(file, written)
                return True
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise ImageError(
            f"a layer of the container image with {member} can't be unpacked", str(error)
        ) from error
    return False
