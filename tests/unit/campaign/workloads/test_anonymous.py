"""An anonymous workload schedules as the original does, and names nobody."""

import io
from pathlib import Path

import pyarrow.parquet as pq

from campaign.core.jobs import NAME, TRAITS_SCHEMA
from campaign.workloads.anonymous import NOTE, anonymous
from campaign.workloads.kept import content_of
from campaign.workloads.sacct import read_sacct
from campaign.workloads.swf import parse_swf
from campaign.workloads.table import read_table
from campaign.workloads.traces import STARTED

HEADER = (
    "JobID|User|Group|Account|Partition|QOS|Reservation|Constraints|Submit|Start|End|ElapsedRaw"
    "|AllocCPUS|AllocTRES|State|SubmitLine"
)
LINE = (
    "{job}|{user}|grpsecret|acctsecret{user}|partsecret|qossecret|ressecret|featsecret"
    "|2026-03-02T08:0{minute}:00|2026-03-02T08:10:00|2026-03-02T08:20:00|600|4"
    "|gres/gpu:gpusecret=2|{state}|sbatch -d afterok:7654321 scriptsecret"
)
SECRETS = (
    *("eveline", "robert", "grpsecret", "acctsecret", "partsecret", "qossecret", "ressecret"),
    *("featsecret", "gpusecret", "scriptsecret", "7654321", "7654400", "1772438", "Europe"),
    *("filesecret", "statesecret"),
)


def written(tmp_path: Path) -> Path:
    jobs = (
        ("7654321", "eveline", "COMPLETED"),
        ("7654400_3", "robert", "STATESECRET"),
        ("7654401", "eveline", "TIMEOUT"),
    )
    lines = [
        LINE.format(job=job, user=user, state=state, minute=minute)
        for minute, (job, user, state) in enumerate(jobs)
    ]
    file = tmp_path / "filesecret.txt"
    file.write_text("\n".join([HEADER, *lines]))
    return file


def test_no_original_text_is_in_the_file(tmp_path: Path) -> None:
    workload = read_sacct(written(tmp_path), time_zone="Europe/Berlin")
    assert (
        not set(TRAITS_SCHEMA.names)
        - set(workload.traits.column_names)
        - {
            *("nodes", "memory_per_slot_mib", "memory_per_node_mib", "exclusive", "array_limit"),
            "think_s",
        }
    ), "every trait with a name or a number of a job is in it"
    content = content_of(anonymous(workload))
    plain = tmp_path / "plain.parquet"
    plain.write_bytes(content)
    shown = repr(read_table(plain)) + repr(pq.read_table(plain).to_pydict())
    for secret in SECRETS:
        assert secret.encode() not in content
        assert secret not in shown, secret
    # What is looked for would be found.
    assert all(secret.encode() in content_of(workload) for secret in SECRETS[:4])


def test_what_scheduling_needs_stays(tmp_path: Path) -> None:
    workload = read_sacct(written(tmp_path), time_zone="Europe/Berlin")
    found = anonymous(workload)
    for name in ("arrival_s", "width", "runtime_s", "requested_s"):
        assert found.table.column(name) == workload.table.column(name)
    assert found.table.column("user").to_pylist() == [1, 2, 1]
    assert found.table.column("job_id").to_pylist() == [1, 2, 3]
    traits = found.traits.to_pydict()
    assert traits["user_name"] == ["user1", "user2", "user1"]
    assert traits["account"] == ["account1", "account2", "account1"]
    assert traits["after"] == [[1], [1], [1]]
    assert traits["array"] == [None, 1, None]
    assert traits["recorded_state"] == ["completed", None, "timeout"]
    assert len(found.guessed_requests) == 3
    assert all(found.traits.column(name).type == NAME for name in ("partition", "qos", "gpu_type"))


def test_users_that_are_numbers_get_others() -> None:
    line = "{} {} -1 5 1 -1 -1 1 60 -1 1 {} 1 -1 1 1 -1 -1\n"
    users = (4711, -1, 12, 4711)
    text = "".join(line.format(job, job, user) for job, user in enumerate(users, start=1))
    workload = parse_swf(io.BytesIO(text.encode()), file=Path("t.swf"))
    assert workload.table.column("user").to_pylist() == [4711, 0, 12, 4711]
    assert anonymous(workload).table.column("user").to_pylist() == [1, 0, 2, 1]


def test_notes_that_count_stay_and_dates_only_if_asked(tmp_path: Path) -> None:
    workload = read_sacct(written(tmp_path), time_zone="Europe/Berlin")
    found = anonymous(workload)
    assert "no requested time" in found.notes
    assert NOTE in found.notes
    assert STARTED not in found.notes
    assert anonymous(workload, dates=True).notes[STARTED] == workload.notes[STARTED]
