"""A trial's clock that remembers what it was told."""

from campaign.core.phase_clock import PhaseClock


class RecordingClock(PhaseClock):
    """A PhaseClock whose `details` are all that `detail` was called with, in order.

    `on_detail`, if given, is called each time.
    """

    def __init__(self, on_detail=None):
        super().__init__()
        self.details = []
        self._on_detail = on_detail

    def detail(self, text):
        super().detail(text)
        self.details.append(text)
        if self._on_detail:
            self._on_detail()
