"""Broken logs and tables of sites: each gives a sound workload, or an explanation."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.errors import ConfigError, WorkloadError
from campaign.core.jobs import Workload
from campaign.workloads.sacct import read_sacct
from campaign.workloads.table import read_table
from tests.fuzz.mutators import mutated
from tests.fuzz.traces import assert_sound

SACCT = (
    b"JobID|JobIDRaw|User|Partition|Submit|Start|End|Elapsed|Timelimit|AllocCPUS|AllocNodes|ReqMem"
    b"|AllocTRES|State|SubmitLine\n"
    b"101|101|eve|long|2026-10-25T01:50:00|2026-10-25T02:30:00|2026-10-25T02:20:00|00:50:00"
    b"|1-00:00:00|8|2|4000Mc|cpu=8,mem=8000M,gres/gpu:a100=2,node=2|COMPLETED|sbatch -a 1-3%2\n"
    b"101.batch|101.batch|||2026-10-25T01:50:00||||||||||\n"
    b"102_1|102|bob|long|2026-10-25T02:50:00|2026-10-25T03:30:00|2026-10-25T04:20:00|00:50:00"
    b"|UNLIMITED|8|1|16Gn|cpu=8|NODE_FAIL|sbatch -d afterok:101:99,afterany:7\n"
    b"102_1|102|bob|long|2026-10-25T04:20:00|2026-10-25T05:30:00|2026-10-25T06:20:00|00:50:00"
    b"|Partition_Limit|8|1|16G|cpu=8,mem=16G|TIMEOUT|sbatch -d afterok:101:99,afterany:7\n"
    b"102_[3-7%2]|103|bob|long|2026-10-25T02:50:00|Unknown|Unknown|00:00:00|01:00:00|0|0|16Gn||"
    b"PENDING|\n"
    b"105+0|105|bob|long|2026-10-25T02:55:00|2026-10-25T03:30:00|2026-10-25T04:20:00|50:00|1:0:0"
    b"|8|1|1T||CANCELLED by 7|\n105+1|106|bob|gpu|2026-10-25T02:55:00|2026-10-25T03:30:00"
    b"|2026-10-25T04:20:00|50:00|1:0:0|8|1|1T||CANCELLED by 7|\n",
    b"\xef\xbb\xbfState|Submit|JobID|ElapsedRaw|NCPUS|\r\nFAILED|1772438400|7|60|2|\r\n"
    b"COMPLETED|1772438300|7|70|3|\r\n",
    json.dumps(
        {
            "jobs": [
                {
                    "job_id": number,
                    "array": {"job_id": 3, "task_id": {"set": True, "number": number}},
                    "user": "eve",
                    "required": {"memory_per_cpu": {"set": True, "number": 4000}},
                    "state": {"current": ["COMPLETED"]},
                    "time": {"submission": 9 + number, "start": 20, "end": 30, "elapsed": 10},
                    "tres": {"allocated": [{"type": "cpu", "name": "", "count": 8}]},
                }
                for number in (1, 2)
            ]
        }
    ).encode(),
)
TABLES = (
    b"id,who,cores,submitted,begun,ended,limit,gpus\n"
    b'7,"eve, a",4,2026-10-25 02:10:00,2026-10-25 02:20:00,2026-10-25T03:10:00+01:00,30,1\n'
    b"9,bob,8,1772438400,,,60,\n8,bob,8,1.5e9,1500000001,1500000099,1:00:00,2\n",
    b"id\twho\tcores\tsubmitted\tbegun\tended\tlimit\tgpus\n7\t1\t2\t3\t4\t5\t6\t7\n",
)
MAP = {
    "job_id": "id",
    "user": "who",
    "width": "cores",
    "arrival": "submitted",
    "start": "begun",
    "end": "ended",
    "requested": "limit in min",
    "gpus": "gpus",
}
PARQUET = {
    "job_id": [1, 2, 3],
    "arrival": [0.0, 5.0, 2.0],
    "width": [1, 2, None],
    "runtime": [60, 70, 80],
    "partition": ["a", None, "b"],
}


def written_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(PARQUET), sink)
    return sink.getvalue()


def prepared(folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of this family: it tells whether the log was read."""
    file = folder / "fuzz"
    parquet = (written_parquet(),)

    def sacct() -> Workload:
        return read_sacct(file, time_zone="Europe/Berlin")

    def text() -> Workload:
        return read_table(file, MAP, time_zone="Europe/Berlin")

    def table() -> Workload:
        return read_table(file)

    def case(draw: random.Random, _number: int) -> bool:
        read, seeds = draw.choice(((sacct, SACCT), (text, TABLES), (table, parquet)))
        file.write_bytes(mutated(draw, draw.choice(seeds)))
        try:
            found = read()
        except (ConfigError, WorkloadError) as error:
            where = "workload.columns" if isinstance(error, ConfigError) else str(file)
            assert where in str(error) and len(str(error)) < 2000, str(error)
            return False
        assert_sound(found)
        return True

    return case
