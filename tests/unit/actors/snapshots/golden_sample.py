"""Small golden clusters for the tests of their store, and the way a byte of them rots."""

import os

from actors.snapshots.snapshot import SnapshotKey
from actors.snapshots.sparse import BLOCK

NODES = ("head", "n1")
SECRET = b"-----BEGIN KEY-----\x00\xff"


def key(name="a"):
    return SnapshotKey({"image": name, "nodes": "2"})


def fill(draft, nodes=NODES, blocks=4):
    """Memory with zeros in the middle and at its end, different for each node, and device
    states."""
    for node in nodes:
        letter = node[-1].encode()
        draft.ram(node).write_bytes(
            letter * BLOCK * blocks + bytes(BLOCK) + letter * BLOCK + bytes(4 * BLOCK)
        )
        draft.state(node).write_bytes(b"state of " + node.encode())


def add(store, name="a", nodes=NODES, blocks=4, identity=None):
    with store.making(key(name)) as draft:
        fill(draft, nodes, blocks)
        return store.put(draft, nodes, {"client": SECRET} if identity is None else identity)


def flip(path, offset):
    """Change one byte as rotten hardware or a stray writer would, and set the modification time
    back."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
