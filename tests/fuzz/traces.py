"""Broken traces: each gives a sound workload, or an explanation."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from campaign.core.errors import WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.workloads.batsim import parse_batsim
from campaign.workloads.swf import parse_swf
from tests.fuzz.mutators import mutated

FILE = Path("fuzz")
SWF = (
    b"; Version: 2.2\n; MaxProcs: 128\n; UnixStartTime: 870000000\n; Note: made up\n"
    b"1 0 5 10 2 -1 -1 2 60 -1 1 3 1 -1 1 1 -1 -1\n2 30 0 5.5 4 -1 -1 4 -1 -1 1 4 1 -1 1 1 -1 -1\n"
    b"; in between\n3 20 -1 0 1 -1 -1 -1 7 -1 1 -1 1 -1 1 1 -1 -1\n",
    b"  1\t  0   5  10   2 -1 -1   2   60 -1 1   3 1 -1 1 1 -1 -1  9 9 9\r\n"
    b"  1\t 10   5  99  64 -1 -1  64   60 -1 0  -1 1 -1 1 1 -1 -1  9 9 9\r\n",
    b"\n".join(b"%d %d -1 3 1 -1 -1 1 9 -1 1 1 1 -1 1 1 -1 -1" % (n, n * 7) for n in range(1, 12)),
)
BATSIM = (
    b'{"nb_res": 8, "jobs": [{"id": 1, "subtime": 0, "res": 2, "profile": "a", "walltime": 60},'
    b' {"id": 2, "subtime": 10.5, "res": 8, "profile": "b"}, {"id": 3, "subtime": 4, "res": 1, '
    b'"profile": "c"}],'
    b' "profiles": {"a": {"type": "delay", "delay": 10}, "b": {"type": "delay", "delay": 0.5},'
    b' "c": {"type": "parallel_homogeneous", "cpu": 1e6, "com": 0}}}',
    b'{"jobs":[{"id":"w0!12","subtime":5,"res":1,"walltime":-1,"profile":"x"},'
    b'{"id":"a!3","subtime":1,"res":4,"profile":"x"}],"profiles":{"x":{"type":"delay","delay":7}}}',
)


def assert_sound(workload: Workload) -> None:
    """Says again what a workload is, without the code that is tested."""
    table = workload.table
    assert table.schema == WORKLOAD_SCHEMA
    assert sum(column.null_count for column in table.columns) == 0
    number, arrival, width, runtime, requested, user = (
        column.to_numpy() for column in table.columns
    )
    assert (
        np.isfinite(arrival).all() and np.isfinite(runtime).all() and np.isfinite(requested).all()
    )
    assert len(workload) >= 1 and arrival[0] == 0 and (np.diff(arrival) >= 0).all()
    assert (
        (width >= 1).all()
        and (runtime > 0).all()
        and (requested >= runtime).all()
        and (user >= 0).all()
    )
    assert np.unique(number).size == number.size and (number >= 0).all()
    assert max(arrival[-1] + requested.max(), 0) * 1e9 < 2**63
    assert workload.machine_slots is not None and 1 <= workload.machine_slots < 2**31
    assert all(isinstance(text, str) and text.isprintable() for text in workload.notes.values())


def swf(content: bytes) -> Workload:
    return parse_swf(io.BytesIO(content), file=FILE)


def batsim(content: bytes) -> Workload:
    return parse_batsim(content, file=FILE)


def prepared(_folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of this family: it tells whether the trace was read."""

    def case(draw: random.Random, _number: int) -> bool:
        parse, seeds = draw.choice(((swf, SWF), (batsim, BATSIM)))
        try:
            found = parse(mutated(draw, draw.choice(seeds)))
        except WorkloadError as error:
            assert str(error).startswith("fuzz") and len(str(error)) < 1000
            return False
        assert_sound(found)
        return True

    return case
