"""Takes the picture of MLflow's table of a campaign's runs, as a browser shows it first.

Usage: mlflow_picture.py MLRUNS PICTURE, with the store's folder and the PNG file to write.
"""

import re
import socket
import subprocess
import sys

SIZE = "1400,720"
LOADED_MS = 20_000  # of the browser's own time, which passes as fast as the page has work

CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    f"--window-size={SIZE}",
    f"--virtual-time-budget={LOADED_MS}",
)


def main(mlruns: str, picture: str) -> int:
    """Serve the store, and have a browser without a window draw what it shows."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = [sys.executable, "-m", "campaign", "ui", f"--mlruns={mlruns}", f"--port={port}"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            printed = re.search(r"http://\S+", server.stdout.readline() if server.stdout else "")
            if not printed:
                return 1
            # The port answers from now on; what asks before MLflow is imported waits.
            command = [*CHROMIUM, f"--screenshot={picture}", printed[0]]
            # Chromium complains of every service of a desktop that isn't there.
            return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
