"""Finds a guest in virtual time that has hung: its clock stands still while it uses CPU time."""

from campaign.guest.exchange import GuestProgress

REAL_PER_CPU = 4.0
"""A guest that isn't given a quarter of a CPU may be waiting for one."""


class StandstillWatch:
    """Observes, again and again, a guest's clock, its CPU time, and the real time.

    A guest has hung when it has used `stuck_s` seconds of CPU time, or REAL_PER_CPU times as much
    real time has passed, and its own clock still says the same.
    """

    def __init__(self, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        self._said: object = self
        self._since = (0.0, 0.0)

    def observe(self, progress: GuestProgress | None, cpu_s: float, now: float) -> str:
        """Return why the guest has hung; empty while it hasn't.

        `cpu_s` is the CPU time that it has used in all, `now` is in monotonic seconds.
        """
        said = progress and (progress.number, progress.state, progress.phase, progress.virtual_s)
        if said != self._said:
            self._said = said
            self._since = (cpu_s, now)
        used_s = cpu_s - self._since[0]
        passed_s = now - self._since[1]
        if used_s <= self._stuck_s and passed_s <= REAL_PER_CPU * self._stuck_s:
            return ""
        return (
            f"virtual time stands still at {where(progress)}, for {used_s:.0f} s of CPU time and "
            f"{passed_s:.0f} s of real time"
        )


def where(progress: GuestProgress | None) -> str:
    """Return where a guest is, in words: its clock, its phase, and what it waits for."""
    if progress is None:
        return "its boot: it has said nothing yet"
    waits = f", waiting for {progress.waits_for}" if progress.waits_for else ""
    return f"{virtual_text(progress.virtual_s)} ({progress.phase}{waits})"


def virtual_text(seconds: float) -> str:
    """Return a duration of virtual time as people read it, such as "2 d 03:12:40"."""
    days, rest = divmod(int(seconds), 86_400)
    time = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {time}" if days else time
