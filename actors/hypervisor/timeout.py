"""A timeout for calls that have none: libvirt waits for a silent daemon for as long as it lives."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def with_timeout(
    timeout_s: float, call: Callable[[], T], *, on_late: Callable[[T], object] = lambda _: None
) -> T:
    """Return what `call` returns, or raise what it raises; TimeoutError after `timeout_s`.

    After a timeout, the call goes on in its own thread, which holds up nobody, not even the end of
    this process. What it returns after all is given to `on_late`, so that nothing is made that
    nobody knows of.
    """
    outcome: Future[T] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the call was made
            outcome.set_exception(error)

    # Not an executor: the end of this process would wait for its threads.
    threading.Thread(target=attempt, name="with_timeout", daemon=True).start()
    try:
        return outcome.result(timeout_s)
    except TimeoutError:
        # If the call has just ended, the callback runs at once, so a late result never slips
        # through.
        outcome.add_done_callback(lambda done: done.exception() or on_late(done.result()))
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None
