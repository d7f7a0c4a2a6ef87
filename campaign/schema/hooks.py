"""Settings of hooks: what is called, when, and what follows where that fails."""

from typing import Literal

from pydantic import model_validator

from campaign.schema.settings import Settings, setting

HOOK_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"
"""The pattern of a hook's name, which is a part of its metrics' names."""


class HookSettings(Settings):
    """A command, or a Python function, that is called at some moments of a campaign."""

    command: list[str] = setting(
        factory=list,
        help="a program and its arguments; it is told what happens as JSON on standard input",
        allowed="[program, argument, ..]",
    )
    entry_point: str = setting(
        "",
        help="instead of a command: the name of a Python entry point of the group "
        "hpc_campaign.hooks",
    )
    on: list[str] = setting(
        help="the moments: campaign, trial or cluster, a phase of it where one is meant, and "
        "before, after or failure, such as trial.after; * stands for any",
        allowed="[moment, ..] (docs/hooks.md)",
    )
    timeout_s: float = setting(
        30.0, help="a call that takes longer is ended, and has failed", unit="s", ge=0.1, le=86_400
    )
    on_failure: Literal["ignore", "fail"] = setting(
        "ignore",
        help="ignore: a failed call is recorded; fail: it makes the trial invalid too, or ends the "
        "campaign where it is one's",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> "HookSettings":
        if bool(self.command) == bool(self.entry_point):
            raise ValueError("a hook is either a command or an entry_point")
        if not self.on:
            raise ValueError("a hook needs at least one moment (on)")
        return self
