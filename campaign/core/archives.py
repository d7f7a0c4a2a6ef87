"""Reads the archives that guests send, which are trusted with nothing."""

import io
import tarfile

from campaign.core.errors import InfrastructureError


class BadArchive(InfrastructureError):
    """An archive of a guest is none, or holds more than it may."""


def plain_files(archive: bytes, limit: int) -> dict[str, bytes]:
    """Return the plain files of an uncompressed tar archive, by the names that they have in it.

    A name may be anything, `../x` too: use it to look something up, never as a path. Raises
    BadArchive for what is no such archive, for a sparse file, and for files of more than `limit`
    bytes together: an archive of a kilobyte can claim gigabytes.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            entries = [entry for entry in opened if entry.isfile()]
            if sparse := next((entry.name for entry in entries if entry.issparse()), None):
                raise BadArchive(f"an archive of the node has a sparse file, {sparse!r}")
            if sum(entry.size for entry in entries) > limit:
                raise BadArchive(f"an archive of the node holds more than {limit:,} bytes")
            found = {entry.name: opened.extractfile(entry) for entry in entries}
            return {name: file.read() for name, file in found.items() if file}
    # A size of a header that is no number is a ValueError in some versions of tarfile.
    except (tarfile.TarError, ValueError) as error:
        raise BadArchive(f"an archive of the node can't be read: {error}") from None
