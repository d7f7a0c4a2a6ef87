"""Ray as a campaign starts it: a driver that is told to end does so as any other command, and leaves nothing of Ray."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DRIVER = textwrap.dedent("""
    import sys
    from campaign.cli.failures import guarded

    @guarded
    def main(arguments=None):
        from actors import ray_session

        ray_session.prepare(None)
        ray_session.start(None)
        import ray

        @ray.remote
        class Busy:
            def for_ever(self):
                while True:
                    pass

        busy = Busy.remote().for_ever.remote()
        print("waiting", ray_session._own_folder(__import__("os").getpid()), flush=True)
        try:
            while True:
                ray.wait([busy], timeout=1)
        finally:
            ray_session.stop()

    sys.exit(main())
""")


@pytest.mark.timeout(180)
def test_a_driver_that_is_told_to_end_cleans_up_and_says_so():
    command = [sys.executable, "-c", DRIVER]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    word, _, folder = driver.stdout.readline().strip().partition(" ")
    assert word == "waiting" and Path(folder).is_dir(), driver.stderr.read()
    driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 143, said
    assert said.startswith("terminated: ending what runs") and "SIGTERM received" not in said
    assert not Path(folder).exists()
