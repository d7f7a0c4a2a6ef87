"""Finds a guest in virtual time that has hung: its clock stands still while it uses CPU time."""

from campaign.guest.exchange import GuestProgress

REAL_PER_CPU = 4.0
"""A guest that isn't given a quarter of a CPU may be waiting for one."""
STOPPED_S = 300.0
"""An emulator that has used no CPU time for so many real seconds isn't waiting for a CPU."""


class StandstillWatch:
    """Observes, again and again, a guest's clock, its CPU time, and the real time.

    A guest has hung when its own clock still says the same after it has used `stuck_s` seconds of
    CPU time, after REAL_PER_CPU times as much real time, or after STOPPED_S in which its emulator
    did nothing at all.
    """

    def __init__(self, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        self._said: object = self
        self._since = (0.0, 0.0)
        self._worked = (0.0, 0.0)
        """Its CPU time, and the real time at which it was first seen."""

    def observe(self, progress: GuestProgress | None, cpu_s: float, now: float) -> str:
        """Return why the guest has hung; empty while it hasn't.

        `cpu_s` is the CPU time that it has used in all, `now` is in monotonic seconds.
        """
        said = progress and (progress.number, progress.state, progress.phase, progress.virtual_s)
        if said != self._said:
            self._since = (cpu_s, now)
        if said != self._said or cpu_s != self._worked[0]:
            self._worked = (cpu_s, now)
        self._said = said
        used_s = cpu_s - self._since[0]
        passed_s = now - self._since[1]
        idle_s = now - self._worked[1]
        if idle_s > STOPPED_S:
            cpu = f"its emulator has used no CPU time for {idle_s:.0f} s"
        elif used_s > self._stuck_s or passed_s > REAL_PER_CPU * self._stuck_s:
            cpu = f"its emulator has used {used_s:.0f} s of CPU time"
        else:
            return ""
        return f"virtual time stands still at {where(progress)} for {passed_s:.0f} s; {cpu}"


def where(progress: GuestProgress | None) -> str:
    """Return where a guest is, in words: its clock, its phase, and what it waits for."""
    if progress is None:
        return "its boot: it has said nothing yet"
    waits = f", waiting for {progress.waits_for}" if progress.waits_for else ""
    if progress.workload_s and progress.state == "running":
        waits = f", {progress.jobs_done} of {progress.jobs_total} jobs done{waits}"
    return f"{virtual_text(progress.virtual_s)} ({progress.phase}{waits})"


def virtual_text(seconds: float) -> str:
    """Return a duration of virtual time as people read it, such as "2 d 03:12:40"."""
    days, rest = divmod(int(seconds), 86_400)
    time = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {time}" if days else time
