"""Downloads over HTTP: resumable, verified before a file has its name, by requests.

Proxies, certificates and credentials are those of requests: HTTPS_PROXY, NO_PROXY,
REQUESTS_CA_BUNDLE, and .netrc.
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from campaign.core.errors import ImageError
from campaign.core.files import flush, storage_error

CONNECT_TIMEOUT_S = 15.0
SILENCE_TIMEOUT_S = 60.0
"""So long a server may send nothing."""
TRIES = 5
"""A transfer is given up when so many in a row have brought nothing."""
PAUSE_S = 1.0
"""How long to wait after the first of such tries; twice as long after each further one."""
PIECE_BYTES = 1 << 14
"""Of a transfer that breaks off, less than one piece is lost."""
MOST_TEXT_BYTES = 8 << 20
"""What is read into memory, such as a list of checksums, may not be larger."""
_BROKEN = (requests.RequestException, HTTPError)
_RANGE = re.compile(r"bytes (\d+)-")


class Watch(Protocol):
    """Is told how far a download is, in bytes."""

    def begin(self, name: str) -> None:
        """A file is going to be downloaded."""

    def at(self, done: int, total: int | None) -> None:
        """So much of it is there; the total is None where the server doesn't tell."""

    def end(self) -> None:
        """The download is over."""


@dataclass(frozen=True)
class Stated:
    """What a file must be by its publisher's word: its SHA-256, and who says so."""

    sha256: str
    by: str


@dataclass
class Downloads:
    """One session with all servers.

    `mirrors` maps the base of a publisher's addresses to the base of those that are asked instead.
    """

    mirrors: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._session = requests.Session()
        # Bodies as they are: a packed one can't be resumed, and has another checksum.
        self._session.headers.update({"Accept-Encoding": "identity"})
        busy = Retry(
            TRIES - 1,
            connect=TRIES - 1,
            read=TRIES - 1,
            backoff_factor=PAUSE_S,
            status_forcelist=(429, 500, 502, 503, 504),
            raise_on_status=False,
            respect_retry_after_header=False,  # some say an hour
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=busy))

    def address(self, url: str) -> str:
        """Return where a publisher's address is asked for: there, or at its mirror."""
        for base, mirror in self.mirrors.items():
            if url == base or url.startswith(f"{base}/"):
                return mirror.rstrip("/") + url.removeprefix(base)
        return url

    def text(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Return a small body, read into memory; ImageError says why it can't be had."""
        with self.answer(url, headers) as response:
            return self.body(response, url)

    @contextlib.contextmanager
    def answer(
        self, url: str, headers: Mapping[str, str] | None = None, *, allowed: tuple[int, ...] = ()
    ) -> Iterator[requests.Response]:
        """Ask for a publisher's address; yield an answer that is fine, or of an allowed status."""
        address = self.address(url)
        timeouts = (CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S)
        try:
            response = self._session.get(address, headers=headers, stream=True, timeout=timeouts)
        except requests.RequestException as error:
            raise _unreachable(address, error) from error
        with response:
            if not response.ok and response.status_code not in allowed:
                raise _refused(address, response)
            yield response

    def body(self, response: requests.Response, url: str) -> bytes:
        """Return the body of an answer, if it is small."""
        found = b""
        try:
            for piece in response.iter_content(PIECE_BYTES):
                found += piece
                if len(found) > MOST_TEXT_BYTES:
                    raise ImageError(
                        f"{self.address(url)} sends more than {MOST_TEXT_BYTES >> 20} MiB, where "
                        "a small file is expected"
                    )
        except _BROKEN as error:
            raise _unreachable(self.address(url), error) from error
        return found

    def bring(
        self,
        url: str,
        target: Path,
        stated: Stated,
        watch: Watch,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Download to `target`, which has its name only when it is what its publisher states.

        What has come is in a hidden file beside it, named by the stated checksum, and the next call
        goes on behind that. Raises ImageError, or StorageError where the disk takes no more.
        """
        part = target.parent / f".{target.name.lstrip('.')}.{stated.sha256[:16]}.part"
        begun_before = part.exists()
        self._complete(url, part, watch, headers)
        found = _sha256(part)
        if found != stated.sha256 and begun_before:
            # What an earlier call has left may be what is wrong.
            part.unlink()
            self._complete(url, part, watch, headers)
            found = _sha256(part)
        if found != stated.sha256:
            part.unlink()
            raise ImageError(
                f"{self.address(url)} is not the file that its publisher states",
                f"sha256 of what came      {found}\nsha256 by the publisher  {stated.sha256} "
                f"({stated.by})",
                "Nothing of it was kept. If a proxy or mirror stands between, look at what it "
                "sends; else try again later.",
            )
        flush(part)
        part.replace(target)
        flush(target.parent)

    def _complete(
        self, url: str, part: Path, watch: Watch, headers: Mapping[str, str] | None
    ) -> None:
        """Download until the server has sent all of it, over however many connections."""
        in_vain = 0
        while True:
            before = _size(part)
            try:
                if self._transfer(url, part, watch, headers):
                    return
                error: Exception | None = None
            except _BROKEN as broken:
                error = broken
            except OSError as failed:
                raise storage_error(part, failed) from failed
            in_vain = 0 if _size(part) > before else in_vain + 1
            if in_vain == TRIES:
                raise _unreachable(self.address(url), error) from error
            if in_vain:
                time.sleep(PAUSE_S * 2 ** (in_vain - 1))

    def _transfer(
        self, url: str, part: Path, watch: Watch, headers: Mapping[str, str] | None
    ) -> bool:
        """Append what one connection sends; return whether the file is complete."""
        offset = _size(part)
        wanted = {**(headers or {}), **({"Range": f"bytes={offset}-"} if offset else {})}
        with self.answer(url, wanted, allowed=(416,)) as response:
            if response.status_code == 416:  # nothing is behind what is there, or all is wrong
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                if total == str(offset):
                    return True
                part.unlink(missing_ok=True)
                return False
            there = _RANGE.match(response.headers.get("Content-Range", ""))
            resumed = response.status_code == 206 and there is not None and int(there[1]) == offset
            if response.status_code == 206 and not resumed:
                part.unlink(missing_ok=True)
                return False
            done = offset if resumed else 0
            length = response.headers.get("Content-Length", "")
            total_bytes = done + int(length) if length.isdigit() else None
            watch.at(done, total_bytes)
            with part.open("ab" if resumed else "wb") as file:
                for piece in response.iter_content(PIECE_BYTES):
                    file.write(piece)
                    done += len(piece)
                    watch.at(done, total_bytes)
        return total_bytes is None or done == total_bytes


def _unreachable(address: str, error: Exception | None) -> ImageError:
    return ImageError(
        f"{address} can't be reached, or breaks off each time",
        str(error or "it ends before its length"),
        "Start the same command again: it goes on behind what has come. Behind a proxy, set "
        "HTTPS_PROXY; for a mirror, use --mirror.",
    )


def _refused(address: str, response: requests.Response) -> ImageError:
    status = f"HTTP status {response.status_code} {response.reason or ''}".rstrip()
    if response.status_code == 429:
        return ImageError(f"{address}: {status}", "", "It allows no more for now: try later.")
    return ImageError(
        f"{address}: {status}",
        "",
        "If this is a mirror, look whether it has this file; else a newer hpc-campaign may know "
        "where the file is.",
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
