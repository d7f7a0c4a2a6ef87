"""Runs a compiled loop so that a signal ends it soon.

Python answers signals between steps of its own, of which compiled code has none. So the loop runs
in a thread of its own, without Python's lock, and looks at a number that the waiting thread sets.
Loops in threads of somebody else's are ended by `end_loops`.
"""

import threading
from typing import TYPE_CHECKING, Any

from campaign.simulation.compiled import CompiledLoop

if TYPE_CHECKING:
    from campaign.simulation.site_arrays import Live
    from campaign.simulation.work import Work

PERIOD_S = 0.1
"""How often signals are looked for while a loop runs."""
TIMEOUT_S = 5.0
"""How long to wait for a loop that was told to end; one that is being compiled can't be told."""
_elsewhere: "dict[int, Work | Live]" = {}
"""The work of loops in threads beside the main one, by the number of the thread."""


class LoopEndedError(Exception):
    """A loop was told to end before its jobs had run."""


def run_loop(loop: CompiledLoop, work: "Work | Live", *arguments: Any) -> None:
    """Run `loop` with `work` and `arguments`; re-raise what it raises.

    An exception that a handler of a signal raises meanwhile ends the loop, and is raised.
    """
    # Signals are answered by the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        _run_elsewhere(loop, work, *arguments)
        return
    # Loops without jobs end at once: they are run to have them compiled, which can be interrupted
    # in this thread.
    if not work.submit.size:
        loop(work, *arguments)
        return
    from campaign.simulation.work import TOLD_TO_END

    ended = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            loop(work, *arguments)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)
        finally:
            ended.set()

    # A daemon: what doesn't end by the timeout ends with the process.
    thread = threading.Thread(target=run, name="simulation", daemon=True)
    try:
        thread.start()
        # Again and again: a signal may reach the loop's thread, which doesn't wake this one.
        while not ended.wait(PERIOD_S):
            pass
    except BaseException:
        work.halt[0] = TOLD_TO_END
        ended.wait(TIMEOUT_S)
        raise
    if errors:
        raise errors[0]


def _run_elsewhere(loop: CompiledLoop, work: "Work | Live", *arguments: Any) -> None:
    from campaign.simulation.work import TOLD_TO_END

    thread = threading.get_ident()
    _elsewhere[thread] = work
    try:
        loop(work, *arguments)
    finally:
        del _elsewhere[thread]
    if work.halt[0] == TOLD_TO_END:
        raise LoopEndedError


def end_loops() -> None:
    """Tell the loops that run in threads beside the main one to end; they raise LoopEndedError."""
    if _elsewhere:
        from campaign.simulation.work import TOLD_TO_END

        for work in list(_elsewhere.values()):
            work.halt[0] = TOLD_TO_END
