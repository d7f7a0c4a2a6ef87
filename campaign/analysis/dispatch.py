"""How late jobs were dispatched, by a jobs table alone, whatever scheduler it was."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NS_PER_S = 1_000_000_000
_NEVER = np.iinfo(np.int64).max


def dispatch_lag_s(jobs: pa.Table) -> float:
    """Return the longest time (s) from when a job's turn had come to its start; 0 if there is none.

    Counted are jobs of a table (JOBS_SCHEMA) before which none that came earlier was still waiting.
    The turn of such a job has come once its submission is answered, and the jobs before it have
    started. If a job ended after that, the end may have made the room, so the time counts from the
    last end before the start: too little may be counted, but never too much.
    """
    jobs = jobs.filter(pc.is_valid(jobs.column("submit_ns"))).sort_by("submit_ns")
    start = _whole(jobs, "start_ns", _NEVER)
    submit = _whole(jobs, "submit_ns", 0)
    answered = np.clip(_whole(jobs, "accepted_ns", 0), submit, np.maximum(start, submit))
    # Of the jobs that came earlier, when the last one started.
    before = np.concatenate([[0], np.maximum.accumulate(start)])[:-1]
    ends = np.sort(_whole(jobs, "end_ns", _NEVER))
    freed = np.concatenate([[0], ends])[np.searchsorted(ends, start, side="right")]
    lag = start - np.maximum(np.maximum(answered, before), freed)
    # Where a job that came earlier started later, the lag is below zero and doesn't count.
    return float(lag[start < _NEVER].max(initial=0)) / NS_PER_S


def _whole(jobs: pa.Table, name: str, absent: int) -> NDArray[np.int64]:
    filled = pc.fill_null(jobs.column(name), absent)
    return np.asarray(filled.to_numpy(), dtype=np.int64)
