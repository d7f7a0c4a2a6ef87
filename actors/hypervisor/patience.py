"""A deadline for calls that know none: libvirt waits for a daemon that says nothing for as long as that lasts."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises; TimeoutError if that takes longer.

    It goes on then in its own thread, which holds up nobody, not even the end of this process.
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
        raise TimeoutError(f"no answer within {seconds:g} s") from None
