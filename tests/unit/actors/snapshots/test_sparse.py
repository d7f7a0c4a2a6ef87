"""Sparse files: holes change neither content nor hash, and nothing of the data is missed."""

import errno
import os
import random

import pytest

from actors.snapshots import sparse
from actors.snapshots.sparse import BLOCK


@pytest.fixture
def opened(tmp_path):
    """Writes a file and opens it; closes all of them afterwards."""
    descriptors = []

    def write(content, holes=()):
        path = tmp_path / str(len(descriptors))
        with path.open("wb") as file:
            file.truncate(len(content))
            for offset in range(0, len(content), BLOCK):
                if offset // BLOCK not in holes:
                    file.seek(offset)
                    file.write(content[offset : offset + BLOCK])
        descriptors.append(os.open(path, os.O_RDWR))
        return descriptors[-1]

    yield write
    for descriptor in descriptors:
        os.close(descriptor)


def content_of(descriptor):
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def block(letter):
    return letter * BLOCK


def test_holes_and_zeros_that_are_written_hash_alike(opened):
    content = block(b"a") + block(b"\0") + block(b"b") + block(b"\0") * 2
    written = opened(content)
    holes = opened(content, holes={1, 3, 4})
    some = opened(content, holes={3})
    assert os.fstat(written).st_blocks > os.fstat(holes).st_blocks
    assert sparse.digest(written) == sparse.digest(holes) == sparse.digest(some)


@pytest.mark.parametrize(
    "other",
    [
        block(b"a") + block(b"\0") + block(b"b")[:-1] + b"c",
        block(b"a") + block(b"b") + block(b"\0"),
        block(b"a") + block(b"\0") + block(b"b") + b"\0",
        block(b"a") + block(b"\0") + block(b"b")[:-1],
        block(b"a") + block(b"\0")[:-1] + b"\1" + block(b"b"),
        block(b"b") + block(b"\0") + block(b"a"),
    ],
    ids=["a byte", "moved", "longer by a zero", "shorter", "a byte among zeros", "swapped"],
)
def test_other_content_hashes_otherwise(opened, other):
    content = block(b"a") + block(b"\0") + block(b"b")
    assert sparse.digest(opened(content, holes={1})) != sparse.digest(opened(other))


def test_punching_frees_what_is_zero_and_keeps_size_content_and_hash(opened):
    content = (
        block(b"\0") * 3
        + block(b"a")
        + block(b"\0")
        + block(b"b")
        + block(b"\0") * 2
        + b"\0" * 4096
    )
    descriptor = opened(content)
    before = os.fstat(descriptor)
    digest = sparse.digest(descriptor)
    assert sparse.punch(descriptor) == 6 * BLOCK + 4096
    after = os.fstat(descriptor)
    assert (before.st_blocks - after.st_blocks) * 512 >= 6 * BLOCK
    assert after.st_size == len(content)
    assert content_of(descriptor) == content
    assert sparse.digest(descriptor) == digest
    assert sparse.punch(descriptor) == 0


def test_random_layouts_survive_punching_and_are_read_whole(opened):
    dice = random.Random(7)
    for _ in range(30):
        parts = [dice.choice([b"\0", b"\0", b"x"]) * BLOCK for _ in range(dice.randrange(1, 12))]
        content = b"".join(parts) + b"y" * dice.choice([0, 1, 5000])
        descriptor = opened(
            content,
            holes={at for at, part in enumerate(parts) if part[0] == 0 and dice.random() < 0.5},
        )
        digest = sparse.digest(descriptor)
        sparse.punch(descriptor)
        assert content_of(descriptor) == content
        assert sparse.digest(descriptor) == digest == sparse.digest(opened(content))
        assert len(content.replace(b"\0", b"")) <= sparse.read(descriptor) <= len(content)


def test_a_file_of_one_hole_and_an_empty_one_hold_no_data(opened):
    hole = opened(block(b"\0"), holes={0})
    empty = opened(b"")
    assert list(sparse.extents(hole)) == list(sparse.extents(empty)) == []
    assert sparse.read(hole) == sparse.read(empty) == 0
    assert sparse.digest(hole) != sparse.digest(empty)


def test_punching_what_may_not_be_written_says_so(opened, tmp_path):
    opened(block(b"\0"))
    descriptor = os.open(tmp_path / "0", os.O_RDONLY)
    try:
        with pytest.raises(OSError) as caught:
            sparse.punch(descriptor)
        assert caught.value.errno == errno.EBADF
    finally:
        os.close(descriptor)
