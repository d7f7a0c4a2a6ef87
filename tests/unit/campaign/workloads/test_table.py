"""Tables of jobs: a map names their columns, and what can't be read names column and row."""

import datetime
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.core.errors import ConfigError, WorkloadError
from campaign.core.jobs import JOBS_SCHEMA, Workload
from campaign.workloads.kept import content_of
from campaign.workloads.kinds import kind_of
from campaign.workloads.sacct import read_sacct
from campaign.workloads.sacct_records import NEVER
from campaign.workloads.swf import read_swf
from campaign.workloads.table import WORDS, read_table
from campaign.workloads.traces import STARTED

CASES = Path(__file__).parent / "cases"
MAP = {"width": "cores", "arrival": "submitted", "start": "begun", "end": "ended"}
HEADER = "id,who,cores,submitted,begun,ended,limit\n"
ROWS = (
    "7,eve,4,2026-03-02 08:00:00,2026-03-02 08:00:10,2026-03-02 08:10:10,30\n"
    "9,bob,8,2026-03-02T08:01:00,2026-03-02T08:01:10,2026-03-02T08:11:10,1:00:00\n"
)


def table(
    tmp_path: Path, text: str, columns: dict[str, str] | None = None, **options: Any
) -> Workload:
    file = tmp_path / "t.csv"
    file.write_text(text)
    return read_table(file, columns, **options)


def test_a_map_names_columns_and_their_units(tmp_path: Path) -> None:
    more = MAP | {"job_id": "id", "user": "who", "requested": "limit in min"}
    found = table(tmp_path, HEADER + ROWS.replace("1:00:00", "60"), more, strict=True)
    assert found.table.to_pylist() == [
        {"job_id": 7, "arrival_s": 0.0, "width": 4, "runtime_s": 600.0}
        | {"requested_s": 1800.0, "user": 1},
        {"job_id": 9, "arrival_s": 60.0, "width": 8, "runtime_s": 600.0}
        | {"requested_s": 3600.0, "user": 2},
    ]
    assert found.traits.column("user_name").to_pylist() == ["eve", "bob"]
    assert found.traits.column("recorded_wait_s").to_pylist() == [10.0, 10.0]


def test_a_value_that_cannot_be_read_names_column_and_row(tmp_path: Path) -> None:
    for good, bad, place in (
        ("08:11:10", "noon", "row 2, column ended: .* is no time"),
        ("8,2026", "many,2026", "row 2, column cores: 'many' is no number"),
        (",30\n", ",soon\n", "row 1, column limit: 'soon' is no duration"),
    ):
        with pytest.raises(WorkloadError, match=place):
            table(tmp_path, HEADER + ROWS.replace(good, bad), MAP | {"requested": "limit"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": "cpus"}, "workload.columns.width = 'cpus': .* no such column"),
        ({"colour": "who"}, "workload.columns.colour: a job has nothing of that name"),
        ({"requested": "limit in furlong"}, "'furlong' is no unit"),
        ({"width": "cores in MiB"}, "'MiB' is no unit"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(
    tmp_path: Path, change: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        table(tmp_path, HEADER + ROWS, MAP | change)


def test_what_a_job_needs_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no column is known for arrival"):
        table(tmp_path, HEADER + ROWS)
    without_start = {key: name for key, name in MAP.items() if key != "start"}
    with pytest.raises(WorkloadError, match="an end without a start"):
        table(tmp_path, HEADER + ROWS, without_start)


def test_columns_with_our_names_need_no_map(tmp_path: Path) -> None:
    found = table(tmp_path, "arrival_s\twidth\truntime\tgpus\n5\t2\t60\t1\n0\t1\t1:30\t\n")
    assert found.table.column("arrival_s").to_pylist() == [0.0, 5.0]
    assert found.table.column("runtime_s").to_pylist() == [90.0, 60.0]
    assert found.traits.column("gpus").to_pylist() == [None, 1]
    assert WORDS in found.notes


@pytest.mark.parametrize(
    ("unit", "factor"), [("", 1), (" in ms", 1000), (" in us", 10**6), (" in ns", 10**9)]
)
def test_times_in_numbers_have_the_unit_that_is_stated(
    tmp_path: Path, unit: str, factor: int
) -> None:
    text = f"a,b,c,w\n{1772438400 * factor},{1772438410 * factor},{1772438470 * factor},1\n"
    columns = {"arrival": f"a{unit}", "start": f"b{unit}", "end": f"c{unit}", "width": "w"}
    found = table(tmp_path, text, columns)
    assert found.notes[STARTED] == "1772438400"
    assert found.table.column("runtime_s").to_pylist() == [60.0]
    if factor > 1:
        with pytest.raises(WorkloadError, match=r"row 1, column a: .*after the year 5000"):
            table(tmp_path, text, {key: name[0] for key, name in columns.items()})


def test_times_may_name_their_zone(tmp_path: Path) -> None:
    found = table(tmp_path, (HEADER + ROWS).replace(":00,2026", ":00+01:00,2026"), MAP)
    assert found.notes[STARTED] == "1772434800"
    assert table(tmp_path, HEADER + ROWS, MAP, time_zone="Europe/Berlin").notes[STARTED] == (
        "1772434800"
    )


def test_jobs_that_never_started_are_left_out(tmp_path: Path) -> None:
    rows = ROWS + "11,eve,4,2026-03-02 09:00:00,,2026-03-02 09:10:10,30\n"
    found = table(tmp_path, HEADER + rows, MAP)
    assert len(found) == 2
    assert found.notes[NEVER] == "1 job"


def test_quotes_gzip_and_names_of_jobs_are_no_matter(tmp_path: Path) -> None:
    file = tmp_path / "t.csv.gz"
    text = HEADER + ROWS.replace("eve", '"eve, ""the""\nfirst"').replace("7,", "x7.server,", 1)
    file.write_bytes(gzip.compress(text.encode()))
    found = read_table(file, MAP | {"job_id": "id", "user": "who"})
    assert found.table.column("job_id").to_pylist() == [1, 2]
    assert found.traits.column("user_name").to_pylist()[0] == 'eve, "the"\nfirst'
    assert WORDS in found.notes


def test_users_that_are_numbers_keep_them(tmp_path: Path) -> None:
    text = HEADER + ROWS.replace("eve", "1007").replace("bob", "5")
    found = table(tmp_path, text, MAP | {"user": "who"})
    assert found.table.column("user").to_pylist() == [1007, 5]
    assert "user_name" not in found.traits.column_names


def test_parquet_has_types_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    begin = datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC)
    content = {
        "when": pa.array([begin, begin], pa.timestamp("ms", "UTC")),
        "ran": pa.array([90, None], pa.duration("s")),
        "cores": pa.array([4, 8], pa.int16()),
        "mem": pa.array([2.0, None]),
        "alone": [True, False],
        "part": pa.array(["a", None]).dictionary_encode(),
    }
    pq.write_table(pa.table(content), file)
    columns = {"arrival": "when", "runtime": "ran", "width": "cores", "partition": "part"}
    columns |= {"memory_per_node_mib": "mem in GiB", "exclusive": "alone"}
    found = read_table(file, columns)
    assert found.table.column("runtime_s").to_pylist() == [90.0]
    assert found.notes["unusable jobs dropped"] == "1 job"
    assert found.traits.to_pylist() == [
        {"memory_per_node_mib": 2048.0, "exclusive": True, "partition": "a"}
    ]
    with pytest.raises(WorkloadError, match="row 1, column part: its values are"):
        pq.write_table(pa.table(content | {"part": [[1], [2]]}), file)
        read_table(file, columns | {"width": "part"})


def test_the_jobs_table_of_a_trial_is_read_without_a_map(tmp_path: Path) -> None:
    row = {"job_id": 5, "arrival_s": 0.0, "width": 4, "runtime_s": 2.0, "requested_s": 60.0}
    row |= {"user": 3, "nodes_requested": 2, "nodes": ["n1", "n2"], "native_state": "COMPLETED"}
    file = tmp_path / "jobs.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=JOBS_SCHEMA), file)
    found = read_table(file, strict=True)
    assert found.table.to_pylist() == [{name: row[name] for name in found.table.column_names}]
    assert found.traits.to_pylist() == [{"nodes": 2, "recorded_state": "completed"}]


@pytest.mark.parametrize("case", ["sacct-P.txt", "swf-dependency.swf", "swf-text-fields.swf"])
def test_what_was_kept_is_read_back_equal(tmp_path: Path, case: str) -> None:
    read = read_sacct if case.startswith("sacct") else read_swf
    workload = read(CASES / case)
    file = tmp_path / "kept.parquet"
    file.write_bytes(content_of(workload))
    found = read_table(file)
    assert found.hash == workload.hash
    assert found == workload
    assert list(found.notes) == list(workload.notes)


def test_a_kept_workload_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kept.parquet"
    file.write_bytes(content_of(read_swf(CASES / "swf-dependency.swf")))
    whole = pq.read_table(file)
    broken = whole.set_column(2, "width", pa.array([4, 0], pa.int32()))
    pq.write_table(broken, file)
    with pytest.raises(WorkloadError, match="width is no whole number"):
        read_table(file)
    pq.write_table(whole.drop_columns(["user"]), file)
    with pytest.raises(WorkloadError, match="not as it was written"):
        read_table(file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(WorkloadError, match="a Parquet file that can't be read"):
        read_table(file)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.swf", "1 2 3\n", "swf"),
        ("a.txt", "JobIDRaw|JobID|State|x\n", "sacct"),
        ("a.csv", "\ufeffjobid,submit\n", "sacct"),
        ("a.csv", "id,submit\n", "table"),
        ("a.tsv.gz", "id\tsubmit\n", "table"),
        ("a", "PAR1", "table"),
        ("a.json", '{"meta": {}, "jobs": [{"job_id": 3}]}', "sacct"),
        ("a.json", '{"nb_res": 4, "jobs": []}', "batsim"),
        ("a.json", "", "batsim"),
    ],
)
def test_the_kind_is_told_by_the_file(tmp_path: Path, name: str, content: str, kind: str) -> None:
    file = tmp_path / name
    data = content.encode()
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert kind_of(file) == kind
    file.unlink()
    assert kind_of(file) in ("swf", "batsim", "table")
