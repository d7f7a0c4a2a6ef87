"""A deadline for calls that know none: libvirt waits for a daemon that says nothing for as long as
that lasts."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(
    seconds: float, call: Callable[[], T], *, too_late: Callable[[T], object] = lambda _: None
) -> T:
    """What `call` returns or raises; TimeoutError if that takes longer.

    It goes on then in its own thread, which holds up nobody, not even the end of this process. What
    it returns after all is given to `too_late`, so that nothing is made that nobody knows of.
    """
    outcome: Future[T] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the call was made
            outcome.set_exception(error)

    threading.Thread(target=attempt, name="within", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        outcome.add_done_callback(lambda done: done.exception() or too_late(done.result()))
        raise TimeoutError(f"no answer within {seconds:g} s") from None
