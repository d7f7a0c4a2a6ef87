"""Which kind of workload a file holds, told by its name and by how it begins."""

from pathlib import Path

from campaign.core.errors import WorkloadError
from campaign.workloads.delimited import BOM, delimiter_of
from campaign.workloads.table import MAGIC
from campaign.workloads.traces import opened

HEAD = 1 << 20
"""Bytes of a file that are looked at."""
TABLES = (".csv", ".tsv", ".parquet")
BATSIM = (b'"subtime"', b'"nb_res"', b'"profiles"')
SACCT = (b'"submission"', b'"association"', b'"job_id"')
DEFAULT = "swf"


def kind_of(file: Path) -> str:
    """Return the kind of workload that a file holds.

    JSON is Slurm's or Batsim's, by the names in it; a first line with JobID among its columns is
    sacct's; a table is told by its name; anything else is taken for SWF. A file that can't be read
    is of the kind that its name says.
    """
    name = file.name.removesuffix(".gz")
    try:
        with opened(file) as stream:
            head = stream.read(HEAD).removeprefix(BOM)
    except WorkloadError:
        head = b""
    if head.startswith(MAGIC) or name.endswith(".parquet"):
        return "table"
    if head.lstrip()[:1] in (b"{", b"[") or name.endswith(".json"):
        of_slurm = any(map(head.__contains__, SACCT)) and not any(map(head.__contains__, BATSIM))
        return "sacct" if of_slurm else "batsim"
    line = head.split(b"\n", 1)[0].decode("utf-8", errors="replace").strip()
    names = {name.strip().lower() for name in line.split(delimiter_of(line))}
    if "jobid" in names and names & {"submit", "state", "elapsed", "elapsedraw"}:
        return "sacct"
    return "table" if name.endswith(TABLES) else DEFAULT
