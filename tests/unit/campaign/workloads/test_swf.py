"""SWF traces as people really write them, and those that we write."""

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign.core.errors import WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA, Job, Workload
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load, swf
from campaign.workloads.swf import parse_swf, read_swf, write_swf
from campaign.workloads.traces import MACHINE, NO_REQUEST


def line(
    job: float | str = 1,
    submit: float | str = 0,
    run: float | str = 10,
    width: float | str = 2,
    requested: float | str = 60,
    user: float | str = 3,
) -> str:
    return f"{job} {submit} 5 {run} {width} -1 -1 {width} {requested} -1 1 {user} 1 -1 1 1 -1 -1"


def parsed(*lines: str, end: str = "\n", strict: bool = False) -> Workload:
    content = "".join(f"{each}{end}" for each in lines).encode()
    return parse_swf(io.BytesIO(content), file=Path("trace.swf"), strict=strict)


def told(workload: Workload) -> dict[str, str]:
    """The notes without the one on the machine, whose size most traces here don't say."""
    return {name: text for name, text in workload.notes.items() if name != MACHINE}


@pytest.fixture
def trace(tmp_path: Path):
    def load_trace(*lines: str, slots: int = 8, **settings: object) -> Workload:
        file = tmp_path / "trace.swf"
        file.write_text("".join(f"{each}\n" for each in lines))
        return load(
            WorkloadSettings(kind="swf", path=str(file), jobs=1000, **settings), slots=slots
        )

    return load_trace


def test_swf_columns_are_those_of_the_format(trace) -> None:
    workload = trace("; Version: 2.2", "", line(4, 100, 10, 2, 60, 3), line(5, 130, 20, 4, -1, -1))
    first, second = workload.jobs()
    assert first == Job(4, 0.0, 2, 10.0, 60.0, 3)
    assert second == Job(5, 30.0, 4, 20.0, 20.0, 0)
    assert told(workload) == {NO_REQUEST: "1 job; the run time is taken for it"}
    assert workload.guessed_requests == {5}
    assert workload.notes[MACHINE].startswith("4 slots, as the widest job has")


def test_swf_width_is_what_was_requested_or_else_allocated(trace) -> None:
    allocated = "1 0 0 10 3 -1 -1 -1 60 -1 1 1 1 -1 1 1 -1 -1"
    both = "2 0 0 10 3 -1 -1 5 60 -1 1 1 1 -1 1 1 -1 -1"
    assert [job.width for job in trace(allocated, both).jobs()] == [3, 5]


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        ((line() + " 7 8 9",), "extra fields ignored"),
        ((line(1, 50), line(2, 10)), "jobs put in order of arrival"),
        ((line(run=0),), "zero run times raised to 1 s"),
        ((line(run=100, requested=60),), "requested times raised to run times"),
        ((line(), " ".join(["-1"] * 18)), "unusable jobs dropped"),
        ((line(), line(2, run=-1)), "unusable jobs dropped"),
        ((line(7), line(7)), "jobs with another's number renumbered"),
        ((line(-1),), "jobs without a number renumbered"),
        ((line(1.5),), "jobs without a number renumbered"),
        ((line(1e300),), "jobs without a number renumbered"),
        ((line(), line(2, width=-8)), "unusable jobs dropped"),
        ((line(), line(2, width=1e12)), "unusable jobs dropped"),
        ((line(), line(2, run=1e15)), "unusable jobs dropped"),
        ((line(), line(2, submit=1e300)), "unusable jobs dropped"),
        ((line(width=2.5),), "fractional widths rounded up"),
        ((line(requested=1e300),), "requested times cut to 136 years"),
        ((line(user=99999999999),), "users that are no number made unknown"),
    ],
)
def test_swf_repairs_are_counted_and_refused_when_strict(
    trace, lines: tuple[str, ...], note: str
) -> None:
    workload = trace(*lines)
    assert told(workload) == {note: "1 job"}
    jobs = list(workload.jobs())
    assert len({job.job_id for job in jobs}) == len(jobs)
    assert all(0 < job.runtime_s <= job.requested_s and job.arrival_s >= 0 for job in jobs)
    assert jobs[0].arrival_s == 0
    with pytest.raises(WorkloadError, match=note.replace("(", r"\(")):
        trace(*lines, strict=True)


def test_swf_takes_the_first_jobs_to_arrive(tmp_path: Path) -> None:
    file = tmp_path / "t.swf"
    file.write_text("\n".join([line(1, 30), line(2, 10), line(3, 20)]))
    workload = load(WorkloadSettings(kind="swf", path=str(file), jobs=2), slots=4)
    assert [job.job_id for job in workload.jobs()] == [2, 3]


@pytest.mark.parametrize(
    "broken",
    ["1 2 3", line().replace("60", "sixty"), line().replace("60", "nan"), "gibberish", "1 " * 17],
)
def test_swf_broken_line_is_named_with_file_and_number(trace, broken: str) -> None:
    with pytest.raises(WorkloadError, match=r"trace\.swf, line 4: ") as caught:
        trace("; header", line(1), "", broken, line(2))
    assert broken.strip() in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "no jobs"), (b"; only a header\n", "no jobs"), (bytes(range(256)), "not a text file")],
)
def test_swf_files_without_jobs(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "t.swf"
    file.write_bytes(content)
    with pytest.raises(WorkloadError, match=says):
        load(WorkloadSettings(kind="swf", path=str(file)), slots=4)


def test_swf_binary_without_zeros_is_a_broken_line(tmp_path: Path) -> None:
    file = tmp_path / "t.swf"
    file.write_bytes(b"\xff\xfe\x80junk \x9c\n")
    with pytest.raises(WorkloadError, match="line 1"):
        load(WorkloadSettings(kind="swf", path=str(file)), slots=4)


def test_swf_that_is_all_unknown_has_no_usable_job(trace) -> None:
    with pytest.raises(WorkloadError, match="no job has"):
        trace(" ".join(["-1"] * 18))


def test_swf_of_many_lines_is_cut_to_the_jobs_wanted(trace) -> None:
    workload = trace(*(line(number, number) for number in range(1, 20_001)))
    assert len(workload) == 1000
    assert np.array_equal(workload.table.column("job_id").to_numpy(), np.arange(1, 1001))


def test_swf_machine_is_the_headers_processors_else_its_nodes_else_the_widest_job() -> None:
    assert parsed("; MaxNodes: 64", "; MaxProcs: 128 (of 130)", line()).machine_slots == 128
    assert parsed(";MaxNodes:64", line()).machine_slots == 64
    for useless in ("-1", "0", "many", "99999999999", "1e3"):
        assert parsed(f"; MaxProcs: {useless}", line(width=7)).machine_slots == 7


def test_swf_header_is_kept_wherever_it_stands_and_is_only_text() -> None:
    workload = parsed(
        "; Computer: Cray\x1b[31m T3E",
        "; UnixStartTime: 1000",
        ";   Note:one",
        line(1, submit=50),
        "; Note: two",
        "; nothing in particular",
        "; MaxJobs: 9",
        line(2, submit=40),
    )
    assert told(workload) == {
        "header Computer": "Cray [31m T3E",
        "header Note": "one | two",
        "header UnixStartTime": "1040",
        "jobs put in order of arrival": "1 job",
    }


@pytest.mark.parametrize("separator", ["\t", "   ", " \t \v\f "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " \n\n  \n"])
def test_swf_white_space_may_be_any(separator: str, end: str) -> None:
    lines = [line(number, number * 10) for number in range(1, 5)]
    odd = ["  " + each.replace(" ", separator) + separator for each in lines]
    assert parsed("; comment", *odd, end=end).hash == parsed(*lines).hash


def test_swf_numbers_may_be_written_in_any_way() -> None:
    workload = parsed(line("1", "+0", "1e1", "2.0", "6.5E+1", "3."), line(2, ".5", "00012"))
    assert list(workload.jobs()) == [
        Job(1, 0.0, 2, 10.0, 65.0, 3),
        Job(2, 0.5, 2, 12.0, 60.0, 3),
    ]
    assert told(workload) == {}


@pytest.mark.parametrize(
    "number",
    ["1e400", "nan", "inf", "-inf", "0x10", "1_000", "\u0661", "--1", "1,5", '"1"', "1.2.3"],
)
@pytest.mark.parametrize("place", [0, 1, 3, 11, 15, 17])
def test_swf_what_is_no_finite_number_is_a_broken_line(number: str, place: int) -> None:
    fields = line().split()
    fields[place] = number
    with pytest.raises(WorkloadError, match=r"trace\.swf, line 2: not 18 numbers"):
        parsed(line(), " ".join(fields))


def test_swf_line_numbers_are_those_of_the_file_across_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swf, "BLOCK", 100)
    lines = ["; header", "", *(line(number, number) for number in range(1, 30))]
    assert len(parsed(*lines)) == 29
    with pytest.raises(WorkloadError, match="line 25: "):
        parsed(*lines[:24], "broken", *lines[24:])


def test_swf_lines_of_different_lengths_are_read_alike() -> None:
    lines = [line(1), line(2) + " 7", line(3), line(4) + " x y z ; comment"]
    workload = parsed(*lines)
    assert len(workload) == 4
    assert told(workload) == {"extra fields ignored": "2 jobs"}


def test_swf_last_line_that_was_broken_off_is_dropped_and_counted() -> None:
    whole = f"{line(1)}\n{line(2)}\n"
    for cut in ("3", "3 20 5 10 -", "3 20 5 1"):
        content = io.BytesIO((whole + cut).encode())
        workload = parse_swf(content, file=Path("t"))
        assert len(workload) == 2
        assert told(workload) == {"partial last lines dropped": "1 job"}
        with pytest.raises(WorkloadError, match="partial last lines dropped"):
            parse_swf(io.BytesIO(content.getvalue()), file=Path("t"), strict=True)
    for wrong in (f"{whole}3 20 x", f"{whole}3 20\n", "3 20"):
        with pytest.raises(WorkloadError, match="not 18 numbers"):
            parse_swf(io.BytesIO(wrong.encode()), file=Path("t"))
    assert len(parse_swf(io.BytesIO((whole + line(3)).encode()), file=Path("t"))) == 3


def test_swf_archives_are_unpacked_whatever_their_name_and_damaged_ones_explained(
    tmp_path: Path,
) -> None:
    packed = gzip.compress("\n".join(line(number, number) for number in range(1, 2000)).encode())
    for name in ("KTH-SP2.swf.gz", "KTH-SP2.swf"):
        (tmp_path / name).write_bytes(packed)
        workload = read_swf(tmp_path / name)
        assert (workload.name, len(workload)) == ("KTH-SP2", 1999)
    for damaged in (
        packed[:-20],
        packed[:500] + b"\xff\xff\xff" + packed[503:],
        packed[:-8] + bytes(8),
    ):
        (tmp_path / "t.swf.gz").write_bytes(damaged)
        with pytest.raises(WorkloadError, match="damaged gzip file"):
            read_swf(tmp_path / "t.swf.gz")


@pytest.mark.parametrize(
    "text",
    [
        "1" * 2_000_000 + "x",
        "; a: " + " " * 2_000_000 + "x",
        " " * 2_000_000,
        ";" * 2_000_000,
        "1 " * 1_000_000,
    ],
)
def test_swf_huge_lines_take_no_time(text: str) -> None:
    try:
        parsed(line(), text)
    except WorkloadError as error:
        assert len(str(error)) < 500


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    count = draw(st.integers(1, 20))
    times = st.floats(1e-9, 2**32) | st.integers(1, 100_000).map(float)
    runtime = draw(st.lists(times, min_size=count, max_size=count))
    arrival = sorted(draw(st.lists(st.just(0.0) | times, min_size=count - 1, max_size=count - 1)))
    numbers = st.integers(0, 2**53)
    columns = {
        "job_id": draw(st.lists(numbers, min_size=count, max_size=count, unique=True)),
        "arrival_s": [0.0, *arrival],
        "width": draw(st.lists(st.integers(1, 2**31 - 1), min_size=count, max_size=count)),
        "runtime_s": runtime,
        "requested_s": [max(each, draw(times)) for each in runtime],
        "user": draw(st.lists(st.integers(0, 2**31 - 1), min_size=count, max_size=count)),
    }
    notes = draw(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3))
    return Workload(
        draw(st.text(max_size=9)),
        pa.table(columns, schema=WORKLOAD_SCHEMA),
        notes,
        machine_slots=64,
    )


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(workload=workloads(), ending=st.sampled_from(["swf", "swf.gz"]))
def test_swf_written_and_read_again_has_equal_jobs(
    tmp_path: Path, workload: Workload, ending: str
) -> None:
    file = tmp_path / f"t.{ending}"
    write_swf(workload, file)
    again = read_swf(file, strict=True)
    assert again.table.equals(workload.table)
    assert (again.hash, again.machine_slots) == (workload.hash, 64)


def test_swf_written_is_what_other_programs_read(tmp_path: Path) -> None:
    workload = parsed(
        "; UnixStartTime: 99",
        line(4, 100),
        line(5, 130.5, run=2e-7, width=4, requested=-1, user=-1),
    )
    write_swf(workload, tmp_path / "t.swf")
    assert (tmp_path / "t.swf").read_text().splitlines() == [
        "; Version: 2.2",
        "; MaxJobs: 2",
        "; MaxRecords: 2",
        "; MaxProcs: 4",
        "; Note: workload: trace",
        "; UnixStartTime: 199",
        "; Note: machine size guessed: 4 slots, as the widest job has, because the trace names no "
        "size",
        "; Note: no requested time: 1 job; the run time is taken for it",
        "4 0 5 10 2 -1 -1 2 60 -1 1 3 1 -1 1 1 -1 -1",
        "5 30.5 5 0.0000002 4 -1 -1 4 -1 -1 1 -1 1 -1 1 1 -1 -1",
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "t.swf"]


def test_swf_header_takes_any_name_and_note(tmp_path: Path) -> None:
    workload = Workload("a\nb \udcff", parsed(line()).table, {"1 2\n3": "4\0\x1b\r5"})
    write_swf(workload, tmp_path / "t.swf")
    assert read_swf(tmp_path / "t.swf").notes == {"header Note": "workload: a b | 1 2 3: 4   5"}


def test_swf_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="No such file"):
        write_swf(parsed(line()), tmp_path / "absent" / "t.swf")
    with pytest.raises(WorkloadError, match="Is a directory"):
        write_swf(parsed(line()), tmp_path)
    with pytest.raises(WorkloadError, match="name too long"):
        write_swf(parsed(line()), tmp_path / ("x" * 300))
    with pytest.raises(WorkloadError):
        write_swf(parsed(line()), Path())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(WorkloadError, match="Not a directory"):
        write_swf(parsed(line()), tmp_path / "file" / "t.swf")
