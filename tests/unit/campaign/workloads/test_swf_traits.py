"""All fields of the Standard Workload Format that say something of a job are read and written."""

import io
from pathlib import Path

from campaign.core.jobs import Workload
from campaign.workloads.sacct import read_sacct
from campaign.workloads.swf import parse_swf, read_swf, write_swf

CASES = Path(__file__).parent / "cases"
TEXT = (
    "; MaxProcs: 8\n"
    "; Queue: 2 is short and quick\n"
    "; Queue: 5 is a verbal description\n"
    "; User: 7 is eve\n"
    "1 0 30 600 8 -1 -1 8 1800 2048 1 7 3 9 2 1 -1 -1\n"
    "2 5 -1 600 8 -1 -1 8 1800 -1 0 8 -1 -1 4 0 1 10\n"
    "3 6 -1 600 8 -1 -1 8 1800 -1 5 -1 -1 -1 -1 -1 99 10\n"
    "4 7 -1 600 8 -1 -1 8 1800 -1 -1 -1 -1 -1 -1 -1 -1 10\n"
)


def swf(text: str) -> Workload:
    return parse_swf(io.BytesIO(text.encode()), file=Path("t.swf"))


def test_fields_become_traits_and_names_of_the_header_names() -> None:
    found = swf(TEXT)
    assert found.traits.to_pydict() == {
        "memory_per_slot_mib": [2.0, None, None, None],
        "user_name": ["eve", None, None, None],
        "group": ["3", None, None, None],
        "partition": ["1", "0", None, None],
        "qos": ["short and quick", "4", None, None],
        "after": [None, [1], None, None],
        "after_kind": [None, "afterany", None, None],
        "think_s": [None, 10.0, None, None],
        "recorded_wait_s": [30.0, None, None, None],
        "recorded_state": ["completed", "failed", "cancelled", None],
    }
    assert found.notes["dependencies on jobs that are not in the workload ignored"] == "1 job"


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    file = tmp_path / "t.swf"
    for workload in (swf(TEXT), read_swf(CASES / "swf-text-fields.swf")):
        write_swf(workload, file)
        found = read_swf(file)
        assert found.traits.to_pydict() == workload.traits.to_pydict()
        assert found.hash == workload.hash


def test_a_log_of_slurm_is_written_with_what_the_format_has_fields_for(tmp_path: Path) -> None:
    file = tmp_path / "t.swf"
    write_swf(read_sacct(CASES / "sacct-P.txt"), file)
    found = read_swf(file)
    assert found.traits.column("user_name").to_pylist() == ["u1", "u2", "u3"]
    assert found.traits.column("partition").to_pylist() == ["normal", "normal", "gpu"]
    assert found.traits.column("recorded_wait_s").to_pylist() == [5.0, 10.0, 30.0]
    assert found.traits.column("recorded_state").to_pylist() == ["completed", "failed", "completed"]


def test_each_trait_that_is_not_replayed_is_said_once_and_counted() -> None:
    said = swf(TEXT).sentences
    for sentence in (
        "memory per slot of 1 job: not replayed",
        "quality of service of 2 jobs: not replayed",
        "partition of 2 jobs: not replayed",
        "dependency on other jobs of 1 job: not replayed",
        "think time after the job before of 1 job: not replayed",
    ):
        assert said.count(sentence) == 1
    assert not any("recorded" in sentence for sentence in said)
