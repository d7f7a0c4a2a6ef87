"""A host whose guests in virtual time are the real agent, as a process with a file as its exchange.

The clock of such a guest is this machine's; saved, its process ends, and restored, another goes on
with the next task. It has a /run of its own, into which it unpacks what its tasks bring.
"""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

from actors.hosts.slot import NodeState
from campaign.guest.exchange import create, read_progress, read_result
from schedulers.base import BootstrapPlan, File, NativeTimes, Stage, Step
from tests.fakes.host import FakeHost
from tests.fakes.scheduler import FakeScheduler

EXCHANGE_BYTES = 4 << 20
JOBS = "/run/campaign/jobs.tsv"
RUNNING = "/run/fake/running"


class VirtualHost(FakeHost):
    """A `FakeHost` whose nodes are agents that keep their files below `folder`."""

    def __init__(self, folder, refuses=()):
        super().__init__(refuses)
        self.folder = folder
        self.given = []
        self.states_said = {}
        self._agents = {}
        self._saved = folder / "saved"

    async def start_recorded(self, slot, boots, key):
        await super().start_recorded(slot, boots, key)
        [boot] = boots
        self._give(slot, boot)
        with tarfile.open(fileobj=io.BytesIO(boot.task)) as archive:
            archive.extractall(self._place(slot) / "task", filter="data")
        self._run(slot)

    async def save(self, slot, names, identity):
        golden = await super().save(slot, names, identity)
        self._end(slot)
        shutil.copytree(self._place(slot), self._saved)
        return golden

    async def restore(self, slot, boots, golden):
        await super().restore(slot, boots, golden)
        [boot] = boots
        shutil.copytree(self._saved / "task", self._place(slot) / "task")
        if (self._saved / "run").exists():
            shutil.copytree(self._saved / "run", self._place(slot) / "run")
        self._give(slot, boot)

    async def resume(self, slot, names):
        await super().resume(slot, names)
        self._run(slot)

    async def states(self, slot, names):
        place = self._place(slot)
        agent = self._agents.get(slot.cluster)
        state = "off" if agent is None or agent.poll() is not None else "running"
        if state == "running" and (place / "halted").exists():
            state = "halted"
        state = self.states_said.get(slot.cluster, state)
        return [NodeState(name, state, None, f"console of {name}", "h") for name in names]

    async def progress(self, slot, name):
        return read_progress(self._place(slot) / "exchange")

    async def result(self, slot, name):
        return read_result(self._place(slot) / "exchange")

    async def cpu_s(self, slot, name):
        return time.process_time()

    async def release(self, slot):
        self._end(slot)
        await super().release(slot)

    def kill(self, cluster):
        """Kill a guest, as a QEMU that dies."""
        os.killpg(self._agents[cluster].pid, signal.SIGKILL)
        self._agents[cluster].wait()

    def _place(self, slot):
        return self.folder / slot.cluster

    def _give(self, slot, boot):
        self.given.append(boot.task)
        self._place(slot).mkdir(exist_ok=True)
        exchange = self._place(slot) / "exchange"
        create(exchange, boot.task, boot.task_number, size=EXCHANGE_BYTES)

    def _run(self, slot):
        place = self._place(slot)
        (place / "run").mkdir(exist_ok=True)
        (place / "halted").unlink(missing_ok=True)
        agent = (sys.executable, place / "task/trial_agent.py", place / "exchange")
        line = 'mount --bind "$0" /run && exec "$@"'
        root = () if os.geteuid() == 0 else ("--map-root-user",)
        # With processes of its own, so that the jobs of a guest that is ended end with it.
        own = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        command = ("unshare", *own, *root, "bash", "-c", line, place / "run", *agent)
        self._agents[slot.cluster] = subprocess.Popen(
            [*command, "touch", place / "halted"], start_new_session=True
        )

    def _end(self, slot):
        if agent := self._agents.pop(slot.cluster, None):
            if agent.poll() is None:
                os.killpg(agent.pid, signal.SIGKILL)
            agent.wait()


class AtOnce(FakeScheduler):
    """A scheduler without daemons that runs each job on n1 as soon as it is submitted.

    `broken` names what fails: "plan", "smoke", "daemon", "deaf" (it lives and doesn't answer),
    "jobs" (they wait for ever), "endless" (they run for ever) or "parameters".
    """

    name = "at-once"
    gangs = True
    memory_mib = 256
    shared_node_mib = 8
    stand_ins = "daemons that are none"

    def __init__(self, broken=""):
        self.broken = broken

    def plan(self, topology, params, secrets):
        step = Step(files=(File("/run/fake/plan", repr(secrets).encode()),))
        return BootstrapPlan((Stage("controller", {"head": step}),))

    def reconfigure(self, topology, params):
        fails = (("false",),) if self.broken == "plan" else ()
        step = Step(commands=(("mkdir", "-p", RUNNING), *fails))
        return BootstrapPlan((Stage("reconfigure", {"head": step}),))

    def smoke_test_command(self, topology):
        return ("test", "-e", "/run/fake/plan")

    def nodes_needed(self, job, topology):
        return 1

    def payload_node(self, topology):
        return "n1"

    def session_command(self):
        return ()

    def submit_command(self, job, topology, script):
        started = f"setsid bash {script} </dev/null >/dev/null 2>&1 & echo j{job.job_id}"
        return ("bash", "-c", started)

    def parse_submit(self, text):
        return text.strip()

    def job_script(self, job, topology, payload):
        mark = f"{RUNNING}/j{job.job_id}"
        held = "sleep 1000" if self.broken in ("jobs", "endless", "deaf") else payload
        return f"touch {mark}; {held}; rm {mark}\n".encode()

    def pending_command(self):
        return ("false",) if self.broken in ("daemon", "deaf") else ("ls", RUNNING)

    def idle_command(self):
        asked = " ".join(self.pending_command())
        return ("bash", "-c", f"left=$({asked}) || exit 2; [[ -z $left ]]")

    def parse_pending(self, text):
        return dict.fromkeys(text.split(), "held by the fake" if self.broken == "jobs" else "")

    def accounting_command(self):
        return ("cut", "-f1,3,4", JOBS)

    def parse_accounting(self, text):
        rows = [line.split("\t") for line in text.splitlines()]
        return {
            f"j{job}": NativeTimes(f"j{job}", "COMPLETED", int(start) / 1e6, int(end) / 1e6)
            for job, start, end in rows
        }

    def final_state(self, state):
        return "completed"

    def version_command(self):
        return ("echo", "1.0")

    def verify_command(self):
        return ("echo", "a wrong" if self.broken == "parameters" else "a right")

    def health_command(self, nodes):
        if self.broken != "daemon":
            return ("true",)
        # It lives until all jobs are submitted.
        return ("bash", "-c", "[[ ! -e /run/campaign/agent.done ]] || ! echo fake.service: failed")

    def stop_command(self, nodes):
        return ("touch", *(f"/run/fake/stopped-{node.name}" for node in nodes))

    def log_files(self, node):
        return (f"/run/fake/stopped-{node.name}",)
