"""A tracker that writes down what it is told to log, in whatever process it is; it fails, hangs or
dies by rule."""

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path


class FakeTracker:
    """Appends a line to `file` for each call; `broken` names the step that fails, `hangs` the one
    that doesn't return, `dies` the one at which its process ends; `takes_s` is what logging a trial
    takes; `driven` is True while it is shown that the driver lives."""

    takes_s = 0.0
    driven = False

    def __init__(self, file: Path, broken="", hangs="", dies=""):
        self.file = file
        self.broken = broken
        self.hangs = hangs
        self.dies = dies

    def _note(self, step, **values):
        if step == self.dies:
            os._exit(9)
        if step == self.hangs:
            time.sleep(60)
        if step == self.broken:
            raise RuntimeError(f"{step}: database is locked\nSELECT ...")
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, "pid": os.getpid(), **values}) + "\n")

    def start(self):
        self._note("start")

    @contextmanager
    def driving(self):
        self.driven = True
        try:
            yield
        finally:
            self.driven = False

    def reopen(self):
        self._note("reopen")

    def interrupt(self, ended):
        self._note("interrupt", ended=ended)

    def sync(self, records, evidence):
        for record in records:
            self._note("sync", trial=record.number, files=sorted(evidence(record).files))

    def log_all(self, trials):
        for record, evidence in trials:
            time.sleep(self.takes_s)
            jobs = evidence.jobs.num_rows
            self._note("log", trial=record.number, files=sorted(evidence.files), jobs=jobs)

    def plot(self, records):
        pass

    def finish(self, points, *, ended, complete, artifacts, artifacts_of):
        self._note(
            "finish",
            front=len(points),
            ended=ended,
            complete=complete,
            artifacts=[str(path) for path in artifacts],
        )

    def told(self, step=None):
        """What it was told, in order."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [told for told in map(json.loads, lines) if step in (None, told["step"])]
