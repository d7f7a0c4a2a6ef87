"""The checks of the validity gate: what each counts, which setting bounds it, where it applies."""

from dataclasses import dataclass

from campaign.schema.model import ValiditySettings
from campaign.schema.settings import row_of


@dataclass(frozen=True)
class Rule:
    """A check: a value that must not be above the setting `limit` of ValiditySettings.

    `of_jobs`: the check needs the jobs table only, so it is made in simulation too. `real_only`
    says of what disturbs a measurement in real time alone why virtual time has no need of the
    check. `meaning` says what is counted, where the setting's own help doesn't.
    """

    limit: str
    of_jobs: bool = False
    real_only: str = ""
    meaning: str = ""

    @property
    def setting(self) -> str:
        """The threshold as the configuration writes it."""
        return f"validity.{self.limit}"

    @property
    def default(self) -> str:
        row = row_of(self.limit, ValiditySettings.model_fields[self.limit])
        return f"{row.default} {row.unit}"

    @property
    def unit(self) -> str:
        return row_of(self.limit, ValiditySettings.model_fields[self.limit]).unit

    @property
    def counts(self) -> str:
        """The check's value, in words."""
        return self.meaning or ValiditySettings.model_fields[self.limit].description or ""


_CLOCK_WAITS = "the guest's clock stands still while others have the CPU"
RULES: dict[str, Rule] = {
    "jobs not submitted": Rule("max_unsubmitted_jobs", of_jobs=True),
    "incomplete jobs": Rule("max_incomplete_jobs", of_jobs=True),
    "jobs on other nodes than asked for": Rule("max_misplaced_jobs", of_jobs=True),
    "slots overbooked on a node": Rule("max_overbooked_slots", of_jobs=True),
    "times out of order": Rule(
        "max_clock_error_s",
        of_jobs=True,
        meaning="longest that a job started before its submission, or ended before its start",
    ),
    "submission lag": Rule("max_submit_lag_s", of_jobs=True),
    "unmeasured clocks": Rule(
        "max_unmeasured_clocks", real_only="all nodes have one clock, which is right"
    ),
    "clock error": Rule("max_clock_error_s"),
    "CPU steal": Rule("max_steal", real_only=_CLOCK_WAITS),
    "CPU time taken by others": Rule(
        "max_cpu_taken",
        real_only=_CLOCK_WAITS,
        meaning="share of the CPU time that nodes wanted while jobs ran and that other programs "
        "on the host had; the limit is 1 where no job was dispatched late (docs/hosts.md)",
    ),
    "vCPUs per CPU": Rule("max_vcpus_per_cpu", real_only=_CLOCK_WAITS),
    "memory promised": Rule(
        "max_memory_promised", real_only="the guest's clock stands still while it waits for memory"
    ),
    "lost nodes": Rule(
        "max_lost_nodes", real_only="without its only virtual machine, a trial has no results"
    ),
    "console faults": Rule("max_console_faults"),
    "jobs missing in native accounting": Rule("max_unaccounted_jobs"),
    "gap to native starts": Rule(
        "max_native_gap_s",
        meaning="largest difference between the wrapper's start of a job and the scheduler's "
        "own; what the scheduler takes to launch a job, beside as many others at once on a node as "
        "there were, and the resolution of its accounts are added to the limit",
    ),
    "gap to native ends": Rule(
        "max_native_gap_s",
        meaning="largest difference between the wrapper's end of a job and the scheduler's own; "
        "the resolution of the "
        "scheduler's accounts is added to the limit",
    ),
}
"""Every check of the gate, by name."""
