"""How jobs get to Flux: by a session that stays, or one by one."""

from typing import TYPE_CHECKING

from schedulers.base import Topology
from schedulers.commands import native_id_of
from schedulers.flux import queues

if TYPE_CHECKING:
    from campaign.core.jobs import Job

SESSION = """\
import json, sys
import flux.job
instance = flux.Flux()
ids = {}
def submit(path):
    with open(path) as file:
        spec = json.load(file)
    system = spec["attributes"]["system"]
    for one in system.get("dependencies", ()):
        if one["value"] not in ids:
            raise OSError("it depends on " + one["value"] + ", which was refused")
        one["value"] = ids[one["value"]]
    urgency = spec["attributes"].get("user", {}).get("urgency", 16)
    job = flux.job.submit(instance, json.dumps(spec), urgency=urgency)
    ids[system["job"]["name"]] = str(int(job))
    return job.f58plain
print("ready")
for line in sys.stdin:
    try:
        print(0, submit(line.strip()), sep="\\t")
    except OSError as error:
        print(1, " ".join(str(error).split()), sep="\\t")
"""
"""A program for Flux's Python that submits the jobspecs whose paths it reads, as
BoundScheduler.session_command has it. It puts the ids of jobs in the place of the names by which a
jobspec depends on them."""
# On one line, as the agent's schedule has it.
_PUT_IN = (
    'spec=$(<"$1"); program=$2; urgency=$3; shift 3; while (($#)); do '
    '[[ $2 ]] || { echo "it depends on $1, which was refused" >&2; exit 1; }; '
    r'spec=${spec//"\"value\": \"$1\""/"\"value\": \"$2\""}; shift 2; done; '
    'exec "$program" job submit --urgency="$urgency" <<<"$spec"'
)


def name_of(number: int) -> str:
    """Return the name of the job of this number."""
    return f"j{number}"


def submit_command(job: "Job", topology: Topology, script: str, program: str) -> tuple[str, ...]:
    """Return the command by which the instance's owner submits the jobspec at path `script`."""
    urgency = str(queues.urgency(job, topology.model))
    if not job.traits.after:
        return (program, "job", "submit", f"--urgency={urgency}", script)
    known = (word for one in job.traits.after for word in (name_of(one), native_id_of(one)))
    return ("bash", "-euc", _PUT_IN, "submit", script, program, urgency, *known)
