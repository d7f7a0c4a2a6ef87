"""A site's slurm.conf and people, imported, start as a campaign's baseline in virtual time.

It is the university of tests/unit/schedulers/sites: continued lines, a partition with a quality of
service of its own and one for two accounts alone, limits, and lines that are passed on.
"""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.trials import Replicate
from campaign.records.ledger import history_of
from campaign.workloads.kept import content_of
from campaign.workloads.traits import traits_of
from tests.system.conftest import Workplace

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

SITE = Path(__file__).parents[1] / "unit/schedulers/sites/university"
JOBS = (
    {"user_name": "ann", "account": "physics", "partition": "normal", "qos": "normal"},
    {"user_name": "ann", "account": "biology", "partition": "bigmem", "qos": "normal"},
    {"user_name": "cleo", "account": "biology", "partition": "debug", "qos": "debug"},
)


def workload(folder):
    times = {"arrival_s": 0.0, "width": 1, "runtime_s": 60.0, "requested_s": 600.0, "user": 1}
    rows = [times | {"job_id": number} for number in range(1, len(JOBS) + 1)]
    traits = traits_of({name: [job[name] for job in JOBS] for name in JOBS[0]})
    file = folder / "jobs.parquet"
    table = pa.Table.from_pylist(rows, WORKLOAD_SCHEMA)
    file.write_bytes(content_of(Workload("site", table, traits=traits)))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory, image_store, bundle_of):
    """The trial's folder, whose logs and configuration are those of its head."""
    bundle_of("slurm-accounting")
    place = Workplace(tmp_path_factory.mktemp("site"), image_store)
    try:
        option = place.folder / "site/scheduler/ours.yaml"
        option.parent.mkdir(parents=True)
        people = (f"--accounts={SITE / name}" for name in ("people.txt", "qos.txt"))
        words = ("import", SITE / "slurm.conf", *people, "--nodes=3", f"--out={option}")
        subprocess.run((sys.executable, "-m", "campaign", *words), check=True)
        jobs = f"workload.path={workload(place.folder)}"
        own = (f"--config-dir={option.parents[1]}", "scheduler=ours", "name=site")
        done = place.search(*own, "testbed=virtual-time", "search.trials=1", jobs, timeout=1000)
        assert done.returncode == 0, done.stdout + done.stderr
        [record] = history_of(place.results / "site/ledger.jsonl").records[Replicate(0)]
        assert (record.outcome, record.reason) == ("ok", "")
        yield place.results / "site/trials/00000"
    finally:
        place.clear()


def test_the_controller_runs_with_the_sites_settings(folder):
    conf = (folder / "config/head/etc/slurm/slurm.conf").read_text()
    assert {"EnforcePartLimits=ALL", "CompleteWait=32"} <= set(conf.splitlines())
    assert "AllowAccounts=physics,biology" in conf
    log = (folder / "logs/head/var/log/slurm/slurmctld.log").read_text()
    assert not re.search(r"fatal:|Ignoring invalid|No association for account", log)


def test_its_people_have_run_jobs_where_they_may(folder):
    log = (folder / "logs/head/var/log/slurm/jobcomp.log").read_text()
    lines = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in log.splitlines()]
    ours = {line["Name"]: line for line in lines if re.fullmatch(r"j\d+", line.get("Name", ""))}
    for number, job in enumerate(JOBS, start=1):
        line = ours[f"j{number}"]
        assert line["JobState"] == "COMPLETED"
        assert line["UserId"].startswith(f"{job['user_name']}(")
        assert (line["Account"], line["Partition"], line["QOS"]) == (
            job["account"],
            job["partition"],
            job["qos"],
        )
