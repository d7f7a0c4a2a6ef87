"""Why a job waits, in numbers and in words."""

from typing import Any

import numpy as np

from campaign.simulation import limits

NONE: Any = np.int64(0)
PRIORITY: Any = np.int64(1)
RESOURCES: Any = np.int64(2)
DEPENDENCY: Any = np.int64(3)
BEGIN_TIME: Any = np.int64(4)
PARTITION_TIME: Any = np.int64(5)
PARTITION_NODES: Any = np.int64(6)
PARTITION_ACCESS: Any = np.int64(7)
RESERVATION: Any = np.int64(8)
NODES_NOT_THERE: Any = np.int64(9)
ARRAY_LIMIT: Any = np.int64(10)
DEPTH: Any = np.int64(11)
WINDOW: Any = np.int64(12)
GIVING_WAY: Any = np.int64(13)
LIMITS: Any = np.int64(100)
"""What the reasons of `campaign.simulation.limits` are counted from."""

WORDS = {
    0: "not looked at yet",
    1: "priority: other jobs come first",
    2: "resources: its nodes are taken",
    3: "dependency on other jobs",
    4: "begin time: it was queued again, and its old credential must expire",
    5: "limit: longer than its partition allows",
    6: "limit: more or fewer nodes than its partition allows",
    7: "access: its partition is others'",
    8: "reservation: not begun, ended, or taken",
    9: "resources: too few of its nodes are there, or not reserved",
    10: "limit: its array runs as many tasks as it may",
    11: "depth: the run ended before it",
    12: "backfill window: it starts beyond what is planned",
    13: "preemption: jobs give way to it",
}
"""What each number means."""


def in_words(reason: int) -> str:
    """Return the reason in words."""
    return limits.in_words(reason - int(LIMITS)) if reason >= LIMITS else WORDS[reason]
