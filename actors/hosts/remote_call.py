"""Calls of Ray actors that a type checker understands, and whose errors come out as they were.

What a caller's log is about may go with a call, so that the actor's log says for which trial and in
which phase the actor worked (`in_callers_context`).
"""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError

from campaign.core import log
from campaign.core.errors import CampaignError, InfrastructureError, output_tail

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_ABOUT = "caller_context"
_ABOUT_FIELDS = frozenset({"campaign", "trial", "phase", "cluster"})
"""An actor knows best on which host it is."""

_log = logging.getLogger(__name__)


def in_callers_context(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Have a synchronous method of an actor log what it does as being about the caller's work.

    `RemoteActor` sends the caller's log context with calls of such a method. Its errors are logged,
    since they may be the last that the actor does; unexpected ones with their traceback.
    """

    @functools.wraps(method)
    def inner(actor: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # Context variables end at a process's border, so what they say travels as an argument.
        about = kwargs.pop(_ABOUT, None) or {}
        with log.context(**about):  # type: ignore[arg-type]
            try:
                return method(actor, *args, **kwargs)
            except CampaignError as error:
                _log.debug("%s failed: %s", method.__name__, error.brief)
                raise
            except Exception:
                _log.exception("%s failed", method.__name__)
                raise

    # Ray checks arguments, before they are sent, by the signature of the innermost function.
    signature = inspect.signature(method)
    about = inspect.Parameter(_ABOUT, inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters = [*signature.parameters.values(), about]
    delattr(inner, "__wrapped__")
    vars(inner).update({"__signature__": signature.replace(parameters=parameters), _ABOUT: True})
    return inner


class RemoteActor(Generic[A_co]):
    """A Ray actor of class A, called by naming a method of that class: `call(A.method, ...)`.

    Ray's own handles take any name and any arguments; here a type checker sees a method that isn't
    there, arguments that don't fit, and what comes back. An actor runs the calls of one caller in
    the order in which they were made, up to its `max_concurrency` at once. Can be sent to other
    actors.
    """

    def __init__(self, handle: "ActorHandle[Any]") -> None:
        self._handle = handle

    def send(
        self, method: Callable[Concatenate[A_co, P], object], /, *args: P.args, **kwargs: P.kwargs
    ) -> "ObjectRef[Any]":
        """Begin a call and return the reference of its result, which nobody has to wait for."""
        extra: dict[str, Any] = {}
        if hasattr(method, _ABOUT):
            about = log.current()
            extra[_ABOUT] = {name: about[name] for name in about.keys() & _ABOUT_FIELDS}
        remote = getattr(self._handle, method.__name__).remote
        reference: ObjectRef[Any] = remote(*args, **kwargs, **extra)
        return reference

    async def call(
        self, method: Callable[Concatenate[A_co, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Return the result of a call, however long it takes; raise the actor's own error."""
        try:
            result: R = await self.send(method, *args, **kwargs)
        except RayError as error:
            raise unwrap(error) from None
        return result

    def call_within(
        self,
        timeout_s: float,
        failure: str,
        method: Callable[Concatenate[A_co, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return the result of a call; raise the actor's own error.

        Raises InfrastructureError that says `failure` if there is no result after `timeout_s`.
        Blocks: not for an event loop.
        """
        result: R = wait_for(self.send(method, *args, **kwargs), timeout_s, failure)
        return result

    def kill(self) -> None:
        """End the actor's process at once."""
        ray.kill(self._handle)


def wait_for(reference: "ObjectRef[Any]", timeout_s: float, failure: str) -> Any:
    """Return the result of a remote call; raise its own error.

    Raises InfrastructureError that says `failure` if there is no result after `timeout_s`.
    """
    try:
        return ray.get(reference, timeout=timeout_s)
    except GetTimeoutError:
        raise InfrastructureError(f"{failure} within {timeout_s:g} s") from None
    except RayError as error:
        raise unwrap(error) from None


def unwrap(error: RayError) -> Exception:
    """Return the error that an actor raised if it is one of ours.

    Otherwise an InfrastructureError with what Ray said.
    """
    # Ray's RayTaskError has the actor's own error as its `cause`; its other errors have none.
    cause = getattr(error, "cause", None)
    if isinstance(cause, CampaignError):
        return cause
    # Ray's text is a whole traceback, of which the last line says what went wrong.
    last = str(error).strip().splitlines()[-1].strip()
    return InfrastructureError(f"an actor failed: {last}", output_tail(str(error)))
