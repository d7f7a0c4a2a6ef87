"""Slurm's accounts of a whole workload, as a site gets them: `sacct -P`, and `sacct --json`."""

from campaign.core.sacct_command import COLUMNS, WHOLE
from schedulers.job_log import JobLog
from schedulers.slurm.accounts import FLUSHED

FILES = {
    "/var/log/slurm/sacct.txt.gz": f"sacct -P --format={COLUMNS} {WHOLE}",
    "/var/log/slurm/sacct.json.gz": f"sacct --json {WHOLE}",
}
LARGEST = 16_000_000
"""A file of more bytes isn't brought home."""


def job_log(started_file: str) -> JobLog:
    """Return how both files are written, each from the second after the workload's start on.

    What had ended in that second is the job that was run across all nodes before it.
    """
    kept = (f"keep {file} {command}" for file, command in FILES.items())
    script = "\n".join(
        (
            # Times have no zone: who reads them takes UTC's.
            "export TZ=UTC0",
            "set -o pipefail",
            "keep() {",
            "  local file=$1 said; shift",
            '  if ! said=$({ timeout 300 "$@" -S "$since" | gzip -n >"$file"; } 2>&1); then',
            '    rm -f "$file"; echo "$file: $* failed: $said"',
            f'  elif (($(stat -c %s "$file") > {LARGEST})); then',
            f'    rm "$file"; echo "$file: more than {LARGEST} bytes"',
            "  fi",
            "}",
            FLUSHED,
            f"began=$(<{started_file})",
            "printf -v since '%(%FT%T)T' $((${began::-6} + 1))",
            *kept,
            "exit 0",
        )
    )
    return JobLog(("bash", "-c", script), tuple(FILES))
