"""What a user can get wrong, from the command line: one clear message, exit status 2, nothing
running, nothing lost."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from tests.conftest import CANNOT_RUN_HERE
from tests.system.conftest import ROOT

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]


def refused(done, *expected):
    """The command ended as a user's error whose message says all of `expected`."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    message = done.stderr[done.stderr.index("error: ") :]
    for text in expected:
        assert text in message, message
    return message


def test_an_unknown_scheduler_parameter(workplace):
    message = refused(
        workplace.search("scheduler.params.bf_intervall=3"),
        "scheduler.params.bf_intervall",
        "bf_interval",
    )
    assert "override 'scheduler.params.bf_intervall=3'" in message
    assert not workplace.results.exists()


def test_a_value_out_of_range(workplace):
    refused(
        workplace.search("scheduler.params.bf_interval=[1,99999]"),
        "99999",
        "[1 .. 10800] s",
        "override",
    )
    refused(
        workplace.search("cluster.memory_mib=1"), "cluster.memory_mib = 1", "[256 .. 1048576] MiB"
    )


def test_a_missing_image(workplace):
    refused(workplace.search("image.hash=deadbeef"), "deadbeef", "image build")
    assert workplace.leftovers() == []


def test_a_damaged_image_file(workplace, bundle, tmp_path):
    store = tmp_path / "store"
    copy = store / bundle.path.name
    shutil.copytree(bundle.path, copy)
    with (copy / "root.erofs").open("r+b") as root:
        root.seek(5_000_000)
        root.write(b"damaged")
    refused(
        workplace.search(f"image.store={store}"),
        "root.erofs is damaged",
        "expected",
        "found",
        "image build",
    )
    assert workplace.leftovers() == []


def test_a_trace_with_a_broken_line(workplace, tmp_path):
    trace = tmp_path / "broken.swf"
    good = "1 0 -1 10 2 -1 -1 2 20 -1 1 1 1 -1 -1 -1 -1 -1"
    trace.write_text(f"; MaxProcs: 8\n{good}\n{good.replace('10', 'ten')}\n")
    refused(workplace.search("workload=swf", f"workload.path={trace}"), "broken.swf", "3", "ten")


def test_a_trace_that_is_not_there(workplace):
    refused(workplace.search("workload=swf", "workload.path=/no/such.swf"), "/no/such.swf")


def test_more_nodes_than_fit(workplace):
    refused(
        workplace.search("cluster.nodes=[1,500]"),
        "501 VMs",
        "MiB of memory are needed",
        "cluster.nodes",
    )
    assert workplace.leftovers() == []


def test_ports_in_use(workplace):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(
            workplace.search(f"hosts.local.ports=[{port},{port + 1}]", "cluster.nodes=1"),
            str(port),
            "hosts.local.ports",
        )
    assert workplace.leftovers() == []


def test_libvirt_not_reachable(workplace):
    uri = "qemu+unix:///system?socket=/no/such/socket"
    refused(workplace.search(f"hosts.local.uri={uri}"), uri, "No such file or directory")
    assert workplace.leftovers() == []


def test_a_full_disk(workplace, tmp_path):
    """The results folder is a file system of 64 KiB: full as soon as the first trial's files come
    home."""
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "x", small], check=False
        ).returncode
    ):
        pytest.skip(f"{CANNOT_RUN_HERE}: only root may mount a small file system; run it as root")
    try:
        settings = (
            "cluster.nodes=1",
            "cluster.start=cold",
            "search.trials=1",
            "workload.jobs=4",
            "workload.duration_s=5",
        )
        done = workplace.search(f"output.results={small}", *settings)
        refused(done, str(small), "No space left on device", "same command again")
        assert workplace.leftovers() == []
        ledger = (small / "demo" / "ledger.jsonl").read_text()
        assert ledger.endswith("\n") and '"event":"asked"' in ledger.replace(" ", "")
    finally:
        subprocess.run(["umount", small], check=True)


def test_the_ui_port_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        (tmp_path / "mlflow.db").touch()
        command = [
            sys.executable,
            "-m",
            "campaign",
            "ui",
            "--mlruns",
            str(tmp_path),
            "--port",
            port,
        ]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    refused(done, port)
