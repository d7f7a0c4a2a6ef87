#!/usr/bin/env python3
"""A hook: counts instructions and cycles of this machine by `perf` while a trial's jobs run.

Call it at cluster.workload.before and cluster.workload.after, on the machine that runs the nodes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

context = json.load(sys.stdin)
out = Path(context["out"])
counts = out / "perf.csv"
pid = out / "perf.pid"

if not context["phase"]["live"]:
    sys.exit(0)  # the workload is over already, or it is simulated: there is nothing to count
if context["moment"].endswith(".before"):
    command = ["perf", "stat", "-a", "-x,", "-e", "instructions,cycles", "-o", str(counts)]
    # In a session of its own: it goes on when this ends.
    counter = subprocess.Popen(
        command,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pid.write_text(str(counter.pid))
else:
    os.kill(int(pid.read_text()), signal.SIGINT)  # it writes what it has counted
    pid.unlink()
    deadline = time.monotonic() + 10
    while "cycles" not in (counts.read_text() if counts.exists() else ""):
        if time.monotonic() > deadline:
            sys.exit(f"perf has not written {counts}")
        time.sleep(0.05)
    lines = (line.split(",") for line in counts.read_text().splitlines() if line[:1].isdigit())
    found = {fields[2]: float(fields[0]) for fields in lines}
    answer = {"metrics": {"ipc": found["instructions"] / found["cycles"]}}
    (out / "answer.json").write_text(json.dumps(answer))
