"""Ray as a campaign starts it: a driver that is told to end leaves nothing of it, and nobody else
can use it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DRIVER = textwrap.dedent("""
    import os
    import sys
    from campaign.cli.failures import guarded

    @guarded
    def main(arguments=None):
        from actors.hosts import ray_session

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
            print(ray_session._own_folder(os.getpid()), address, flush=True)
            while True:
                ray.wait([busy], timeout=1)
        finally:
            ray_session.stop()

    sys.exit(main())
""")


INTRUDER = textwrap.dedent("""
    import sys
    import ray

    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
    print("it ran", ray.get(ray.remote(lambda: "what I liked").remote()))
""")


@pytest.fixture(scope="module")
def driver():
    """A driver that waits, with the folder and the address of its Ray; the last test ends it."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder, _, address = process.stdout.readline().strip().partition(" ")
    yield process, Path(folder), address
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("token", ["", "0" * 64], ids=["none", "another"])
def test_nobody_without_the_token_gets_anything_to_run(driver, token):
    _, _, address = driver
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    if token:
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    command = [sys.executable, "-c", INTRUDER, address]
    intruder = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert intruder.returncode != 0 and "it ran" not in intruder.stdout, intruder.stdout
    assert "oken" in intruder.stderr or "uthenti" in intruder.stderr, intruder.stderr


@pytest.mark.timeout(180)
def test_a_driver_that_is_told_to_end_cleans_up_and_says_so(driver):
    process, folder, _ = driver
    assert folder.is_dir()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert said.startswith("terminated: ending what runs") and "SIGTERM received" not in said
    assert not folder.exists()
