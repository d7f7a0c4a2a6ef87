"""Finds out that a workload has stalled: jobs wait, and nothing starts or ends any more."""

from collections import Counter
from collections.abc import Mapping

SHOWN_REASONS = 3


class StallWatch:
    """Observes, again and again, what a scheduler still has to do.

    `timeout_s` must be longer than the longest job runs: then a job that runs has ended within it,
    unless it waits for something that can't come, as the pods of two half-started jobs do.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._seen: frozenset[tuple[str, bool]] = frozenset()
        self._since: float | None = None

    def observe(self, pending: Mapping[str, str] | None, now: float) -> str:
        """Return why the workload has stalled, or an empty text while it hasn't.

        `pending` is what `BoundScheduler.parse_pending` returns, or None while jobs are still
        submitted; `now` is in seconds on a clock that doesn't jump.
        """
        if pending is None:
            self._since = None
            return ""
        # Only whether a job waits counts: the words of its reason may change without any progress.
        seen = frozenset((job, bool(waits)) for job, waits in pending.items())
        if self._since is None or seen != self._seen:
            self._seen = seen
            self._since = now
        if not any(pending.values()) or now - self._since <= self._timeout_s:
            return ""
        return f"nothing has started or ended for {now - self._since:.0f} s, {reasons_of(pending)}"


def reasons_of(pending: Mapping[str, str]) -> str:
    """Return how many jobs run and how many wait, and for what, in words; empty if none waits.

    `pending` is what `BoundScheduler.parse_pending` returns.
    """
    waiting = [reason for reason in pending.values() if reason]
    if not waiting:
        return ""
    common = Counter(waiting).most_common()
    reasons = "; ".join(f"{reason} ({count})" for reason, count in common[:SHOWN_REASONS])
    more = len(common) - SHOWN_REASONS
    rest = f"; and {more} other reasons" if more > 0 else ""
    return f"{len(pending) - len(waiting)} jobs run and {len(waiting)} wait: {reasons}{rest}"
