"""What a trace may cost to read: bombs, endless files and lines meet a stated limit, soon."""

import gzip
import io
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.core.errors import WorkloadError
from campaign.workloads.batsim import parse_batsim, read_batsim
from campaign.workloads.budgets import Budget
from campaign.workloads.swf import parse_swf, read_swf

LINE = b"1 0 -1 5 6 -1 -1 6 60 -1 1 1 1 -1 1 1 -1 -1\n"
SMALL = Budget(
    size=5000, line=200, ratio=10, ratio_from=1000, header_lines=5, json_size=900, json_values=50
)
LIMIT = 1 << 30  # bytes of memory


def swf(content: bytes, budget: Budget = SMALL) -> None:
    parse_swf(io.BytesIO(content), file=Path("t.swf"), budget=budget)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LINE + b"1 " * 500, "t.swf, line 2: longer than 200 bytes"),
        (LINE + b" " * 500 + b"\n" + LINE, "t.swf, line 2: longer than 200 bytes"),
        (b"\n" * 300 + LINE + b"7" * 500, "t.swf, line 302: longer"),
        (b";" + b"x" * 500, "line 1: longer"),
        (b"; x\n" * 6 + LINE, "more than 5 lines that begin with ;"),
        (LINE + b"\0" * 9, "not a text file"),
    ],
)
def test_lines_of_a_trace_have_limits(content: bytes, says: str) -> None:
    with pytest.raises(WorkloadError, match=says):
        swf(content)


def test_trace_within_its_limits_is_read() -> None:
    swf(LINE[:-1].ljust(199) + b"\n" + b"; x\n" * 5)
    swf(LINE.replace(b"\n", b"\r") * 20)  # lines end, though not with a line feed


def test_trace_is_limited_by_its_size_and_its_ratio(tmp_path: Path) -> None:
    large = tmp_path / "large.swf"
    large.write_bytes(LINE * 200)
    with pytest.raises(WorkloadError, match=r"large\.swf: more than 0\.005 MB"):
        read_swf(large, budget=SMALL)
    packed = tmp_path / "packed.swf.gz"
    packed.write_bytes(gzip.compress(LINE * 80))
    with pytest.raises(WorkloadError, match="it unpacks to more than 10 times its size"):
        read_swf(packed, budget=SMALL)
    assert len(read_swf(packed)) == 80


def test_json_is_limited_by_its_size_and_its_values(tmp_path: Path) -> None:
    for content, says in (
        (b"[" + b"[]," * 40 + b"0]", "more than 50 values of JSON"),
        (b'"' + b"x" * 1000 + b'"', "more than 0.0009 MB of JSON"),
    ):
        with pytest.raises(WorkloadError, match=says):
            parse_batsim(content, file=Path("t.json"), budget=SMALL)
    file = tmp_path / "t.json"
    file.write_bytes(b" " * 2000)
    with pytest.raises(WorkloadError, match=r"more than 0\.0009 MB"):
        read_batsim(file, budget=SMALL)


@pytest.mark.parametrize("read", [read_swf, read_batsim])
def test_only_regular_files_are_traces(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for file, what in (
        (tmp_path / "pipe", "a FIFO"),
        (tmp_path, "a folder"),
        (Path("/dev/zero"), "a character device"),
        (tmp_path / "link", "a character device"),
    ):
        with pytest.raises(WorkloadError, match=f"is {what}, not a trace"):
            read(file)


BOMBS = {
    "lists.json.gz": b"[],",
    "line.swf.gz": b"1 ",
    "digits.swf.gz": b"1",
    "spaces.swf.gz": b" ",
    "comments.swf.gz": b";\n",
    "empty.swf.gz": b"\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_of_a_megabyte_is_refused_within_a_gibibyte(tmp_path: Path, name: str) -> None:
    content = BOMBS[name] * (1_000_000 // len(BOMBS[name]))
    with gzip.open(tmp_path / name, "wb", compresslevel=1) as packed:
        packed.write(b"[" if name.startswith("lists") else b"")
        for _ in range(250):
            packed.write(content)
    reader = "batsim" if ".json" in name else "swf"
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from campaign.core.errors import WorkloadError\n"
        f"from campaign.workloads.{reader} import read_{reader}\n"
        "try:\n"
        f"    read_{reader}(Path(sys.argv[1]))\n"
        "except WorkloadError as error:\n"
        "    peak = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]\n"
        "    print(error.brief, peak)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / name)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
    )
    assert done.returncode == 0, done.stderr
    *words, peak_kib = done.stdout.split()
    assert " ".join(words).startswith(str(tmp_path / name))
    assert int(peak_kib) * 1024 < LIMIT
