"""Durations as people say them."""

MOST_OF_A_UNIT = 90.0
"""Below so many of one unit, a duration is told in it."""


def duration_text(seconds: float) -> str:
    """Return a duration in seconds below 90 of them, in minutes below 90 of those, or in hours."""
    if seconds < MOST_OF_A_UNIT:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < MOST_OF_A_UNIT else f"{minutes / 60:.1f} h"
