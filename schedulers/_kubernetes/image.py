"""The container image of all pods: folders of the node, and a program that waits for ever.

It is written here, byte by byte, so that nothing has to be fetched: an OCI archive, which
containerd imports.
"""

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping

NAME = "localhost/campaign/node:1"
PAUSE = "/pause"
PROGRAMS = ("/nix", "/usr")
"""Folders of the node's programs, which a pod may read. Only images built by Nix have anything in
the first."""
MOUNTS = (*PROGRAMS, "/run/campaign")
"""Folders of the node that a job's pod has as its own."""
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
_FOLDERS = ("dev", "etc", "nix", "proc", "run", "run/campaign", "sys", "tmp", "usr")
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def archive() -> bytes:
    """Return the image as an OCI archive (image-spec 1.0), the same bytes each time."""
    layer = _layer()
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [PAUSE]},
            # The layer isn't compressed, so the digest of its content is its own.
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer)],
        }
    )
    named = _descriptor(_MANIFEST, manifest) | {
        "annotations": {"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": NAME}
    }
    blobs = {
        f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob
        for blob in (layer, config, manifest)
    }
    index = _json({"schemaVersion": 2, "manifests": [named]})
    return _tar(
        {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": index, **blobs}
    )


def pause() -> bytes:
    """Return a static program for x86-64 that calls pause(2) over and over.

    It is an ELF header, one segment, and nine bytes of code.
    """
    # again: mov eax, 34; syscall; jmp again
    code = bytes.fromhex("b8220000000f05ebf7")
    base = 0x400000
    headers = 64 + 56
    # 64 bit, little-endian, version 1, System V
    identity = b"\x7fELF" + bytes([2, 1, 1, 0])
    # An executable for x86-64
    kind = struct.pack("<8xHHI", 2, 62, 1)
    # Its first instruction, and the place where its segments are described
    places = struct.pack("<QQQI", base + headers, 64, 0, 0)
    # One segment, no sections
    sizes = struct.pack("<HHHHHH", 64, 56, 1, 0, 0, 0)
    header = identity + kind + places + sizes
    # A loadable segment (1) that may be read and executed (5)
    segment = struct.pack(
        "<IIQQQQQQ", 1, 5, 0, base, base, headers + len(code), headers + len(code), 0x1000
    )
    return header + segment + code


def _layer() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in _FOLDERS:
            tar.addfile(_member(name, tarfile.DIRTYPE, mode=0o755))
        for name, target in _LINKS.items():
            link = _member(name, tarfile.SYMTYPE, mode=0o777)
            link.linkname = target
            tar.addfile(link)
        program = _member(PAUSE.lstrip("/"), tarfile.REGTYPE, mode=0o755)
        program.size = len(pause())
        tar.addfile(program, io.BytesIO(pause()))
    return stream.getvalue()


def _tar(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = _member(name, tarfile.REGTYPE, mode=0o644)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = mode
    return member


def _descriptor(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
