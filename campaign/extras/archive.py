"""Makes an archive whose bytes depend on nothing but the names and contents of its files."""

import io
import tarfile
from collections.abc import Mapping


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed tar archive of plain files, in the order of their names."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()
