"""The hooks of a campaign: which are called at a moment, and the record of what came of it."""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from campaign.core.errors import CampaignError, ConfigError
from campaign.hooks.calling import (
    CallResult,
    FunctionCalls,
    call_command,
    function_of,
)
from campaign.hooks.context import HookAnswer, HookContext
from campaign.hooks.moments import AFTER, BEFORE, FAILURE, meant_by
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from campaign.schema.hooks import HookSettings

_log = logging.getLogger(__name__)
Call = Callable[[HookContext, float], CallResult]


class HookCalls:
    """Calls hooks in the driver's thread, one after the other, in the order of the settings."""

    def __init__(
        self, settings: Mapping[str, HookSettings], ledger: Ledger, results: Results
    ) -> None:
        """Find what is to be called; ConfigError for a program or an entry point that isn't there.

        `ledger` gets a line for each call.
        """
        self._settings = settings
        self._ledger = ledger
        self._results = results
        self._calls = {name: _call_of(name, hook) for name, hook in settings.items()}
        self._at: dict[str, list[str]] = {}
        for name, hook in settings.items():
            for moment in frozenset().union(*map(meant_by, hook.on)):
                self._at.setdefault(moment, []).append(name)
        self._unrecorded: list[dict[str, Any]] = []

    def at(self, moment: str) -> list[str]:
        """Return the names of the hooks that are called at a moment."""
        return self._at.get(moment, [])

    def at_any(self, subject: str) -> bool:
        """Return whether some hook is called at a moment of a subject, or of its phases."""
        return any(moment.startswith(f"{subject}.") for moment in self._at)

    def is_baseline(self, number: int) -> bool:
        """Return whether a trial is one that others are compared with."""
        return self._ledger.history.asked[number].baseline

    def must(self, name: str) -> bool:
        """Return whether what a hook belongs to fails with it."""
        return self._settings[name].on_failure == "fail"

    def context(self, name: str, moment: str, **values: Any) -> HookContext:
        """Return what a hook is told at a moment, with what is known of it in `values`."""
        return HookContext(
            hook=name,
            moment=moment,
            campaign=self._results.name,
            results=str(self._results.folder.absolute()),
            **values,
        )

    def call(
        self, context: HookContext, take: Callable[[HookAnswer], str] | None = None
    ) -> CallResult:
        """Call one hook, and record what came of it.

        `take` gets its answer and returns why it can't be taken, empty where it can.
        """
        name = context.hook
        result = self._calls[name](context, self._settings[name].timeout_s)
        why = take(result.answer) if take and result.outcome == "ok" else ""
        if why:
            result = CallResult("failed", result.seconds, why)
        if result.outcome != "ok":
            _log.warning(
                "hook %s at %s: %s: %s", name, context.moment, result.outcome, result.detail
            )
        self._record(context, result)
        return result

    @contextmanager
    def around(self, subject: str) -> Iterator[None]:
        """Call the hooks before and after what is inside, or on its failure.

        Raises CampaignError where one fails that must not. An interruption calls none: it is
        answered at once.
        """
        self._of_campaign(f"{subject}.{BEFORE}")
        try:
            yield
        except Exception as error:
            reason = error.brief if isinstance(error, CampaignError) else repr(error)
            for name in self.at(moment := f"{subject}.{FAILURE}"):
                # The error that is on its way is the one to be told.
                self.call(self.context(name, moment, reason=reason), _nothing)
            raise
        self._of_campaign(f"{subject}.{AFTER}")

    def _of_campaign(self, moment: str) -> None:
        for name in self.at(moment):
            result = self.call(self.context(name, moment), _nothing)
            if result.outcome != "ok" and self.must(name):
                raise CampaignError(
                    f"the hook {name} failed at {moment} ({result.outcome})",
                    result.detail,
                    f"Mend it, or set hooks.{name}.on_failure=ignore.",
                )

    def _record(self, context: HookContext, result: CallResult) -> None:
        trial = context.trial
        of_trial = (
            {"trial": trial.number, "attempt": trial.attempt, "instance": trial.instance}
            if trial
            else {}
        )
        self._unrecorded.append(
            {
                "hook": context.hook,
                "moment": context.moment,
                "outcome": result.outcome,
                "seconds": round(result.seconds, 3),
                "detail": result.detail,
                **of_trial,
            }
        )
        if self._ledger.history.head is None:
            return  # a ledger's first line is its head, which comes when the images are there
        for values in self._unrecorded:
            self._ledger.append("hook", **values)
        self._unrecorded = []


def _nothing(answer: HookAnswer) -> str:
    return "a campaign has no metrics and checks" if answer != HookAnswer() else ""


def _call_of(name: str, hook: HookSettings) -> Call:
    if hook.entry_point:
        return FunctionCalls(function_of(hook.entry_point)).call
    if shutil.which(hook.command[0]) is None:
        raise ConfigError(
            f"hooks.{name}.command: there is no program {hook.command[0]}",
            resolution="Install it, or name it by its path from the folder where you start this.",
        )
    return partial(call_command, hook.command)
