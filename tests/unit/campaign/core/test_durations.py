"""Durations have the unit in which people say them."""

from campaign.core.durations import duration_text


def test_a_duration_is_told_in_seconds_minutes_or_hours():
    told = [duration_text(seconds) for seconds in (0.4, 89, 90, 3600, 5400, 86_400)]
    assert told == ["0 s", "89 s", "2 min", "60 min", "1.5 h", "24.0 h"]
