"""Ray as a campaign starts it: a driver that is told to end leaves nothing of it, and nobody else
can use it."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from actors.hosts.ray_session import ENVIRONMENT

ROOT = Path(__file__).parents[2]
DRIVER = textwrap.dedent("""
    import os
    import sys
    from campaign.cli.failures import guarded

    @guarded
    def main(arguments=None):
        from actors.hosts import ray_folder, ray_session

        ray_session.prepare(None)
        ray_session.start(None)
        import ray

        @ray.remote
        class Busy:
            def for_ever(self):
                while True:
                    pass

        busy = Busy.remote().for_ever.remote()
        try:
            address = ray.get_runtime_context().gcs_address
            (folder,) = [one for one in ray_folder._parents() if ray_folder._owner(one)
                         == ray_folder._name_of(os.getpid())]
            print(folder, address, os.environ["RAY_AUTH_TOKEN"], flush=True)
            while True:
                ray.wait([busy], timeout=1)
        finally:
            ray_session.stop()

    sys.exit(main())
""")


# A Ray that asks for no token, as `RAY_AUTH_MODE=disabled ray start --head` starts one.
OPEN_RAY = textwrap.dedent("""
    import sys, time
    import ray

    for attempt in range(5):  # Ray gives its raylet 30 s, too few on a busy machine
        try:
            ray.init(address="local", include_dashboard=False, num_cpus=1, log_to_driver=False,
                     _temp_dir=sys.argv[1], object_store_memory=80_000_000, logging_level="error")
            break
        except Exception as error:
            print(error, file=sys.stderr)
            ray.shutdown()
    print(ray.get_runtime_context().gcs_address, flush=True)
    time.sleep(600)
""")


# Joins a Ray as a campaign does.
JOINER = textwrap.dedent("""
    import os
    import sys
    from actors.hosts import ray_session
    from campaign.core.errors import CampaignError

    try:
        ray_session.prepare(sys.argv[1])
        ray_session.start(sys.argv[1])
    except CampaignError as error:
        sys.exit(f"{type(error).__name__}: {error.brief}")
    import ray

    niceness = ray.get(ray.remote(lambda: os.nice(0)).remote(), timeout=60)
    print("it ran our trial with niceness", niceness)
""")


INTRUDER = textwrap.dedent("""
    import sys
    import ray

    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
    print("it ran", ray.get(ray.remote(lambda: "what I liked").remote()))
""")


@pytest.fixture(scope="module")
def driver():
    """A driver that waits, with the folder, the address and the token of its Ray.

    The last test ends it.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder, address, token = process.stdout.readline().split()
    yield process, Path(folder), address, token
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("token", ["", "0" * 64], ids=["none", "another"])
def test_nobody_without_the_token_gets_anything_to_run(driver, token):
    intruder = _run(INTRUDER, driver[2], token=token)
    assert intruder.returncode != 0 and "it ran" not in intruder.stdout, intruder.stdout
    assert "oken" in intruder.stderr or "uthenti" in intruder.stderr, intruder.stderr


def _run(script, *arguments, token):
    """Run a script against a Ray, with no other variables of Ray's than this token, if any."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=_environment(token),
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def _environment(token):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    if token:
        kept |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return kept


@pytest.mark.timeout(180)
def test_a_ray_that_asks_for_a_token_is_joined(driver):
    _, _, address, token = driver
    joined = _run(JOINER, address, token=token)
    # What runs there starts machines, which are to be as important as we are.
    assert f"it ran our trial with niceness {os.nice(0)}\n" in joined.stdout, joined.stderr


@pytest.fixture
def open_ray():
    """The address of a Ray that asks for no token."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", OPEN_RAY, folder],
            env=_environment("") | {"RAY_AUTH_MODE": "disabled", **ENVIRONMENT},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(60)


@pytest.mark.timeout(400)
def test_a_ray_that_asks_for_none_is_not_joined_though_we_have_one(open_ray):
    assert open_ray, "no Ray"
    joined = _run(JOINER, open_ray, token="ab" * 32)
    assert joined.returncode == 1 and "it ran" not in joined.stdout
    assert f"ConfigError: testbed.ray_address: the Ray at {open_ray} lets in" in joined.stderr


@pytest.mark.timeout(180)
def test_its_files_are_behind_a_parent_of_ours_and_sockets_have_room(driver):
    _, folder, _, _ = driver
    status = folder.lstat()
    assert stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == os.geteuid()
    sockets = [path for path in folder.rglob("*") if path.is_socket()]
    assert {"raylet", "plasma_store"} <= {path.name for path in sockets}
    # The longest uid and pid would add these characters.
    room = len(str(2**32)) - len(str(os.geteuid())) + len(str(2**22)) - 1
    assert max(len(str(path)) for path in sockets) + room <= 107


@pytest.mark.timeout(180)
def test_a_driver_that_is_told_to_end_cleans_up_and_says_so(driver):
    process, folder, _, _ = driver
    assert folder.is_dir()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert said.startswith("terminated: ending what runs") and "SIGTERM received" not in said
    assert not folder.exists()
