"""Asks a Ray whether it lets in who has no token, before it is joined."""

import os
import re
import subprocess
import sys

from campaign.core.errors import ConfigError, InfrastructureError

_ASK_TIMEOUT_S = 60.0
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
# Run by a process that has neither a token nor Ray: it asks the GCS, the part of a Ray that all
# others join by, for the cluster's name. The request and its answer are empty or unread messages.
_QUESTION = """
import os, pathlib, sys
import grpc

def channel(address):
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return grpc.insecure_channel(address)
    names = ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT")
    files = [pathlib.Path(os.environ[name]).read_bytes() for name in names]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files))

ask = channel(sys.argv[1]).unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
for metadata in (None, (("authorization", "Bearer " + "0" * 64),)):
    try:
        ask(b"", timeout=float(sys.argv[2]), wait_for_ready=True, metadata=metadata)
        print("ACCEPTED")
        break
    except grpc.RpcError as error:
        print(error.code().name, error.details())
"""


def require_refusal(address: str) -> None:
    """Raise ConfigError unless the Ray at `address` (HOST:PORT) refuses who has no token.

    It is asked without a token and with a wrong one, by a process that has none. Raises
    InfrastructureError if it doesn't answer.
    """
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(
            f"testbed.ray_address: {address!r} is not HOST:PORT, so it can't be asked whether it "
            "wants a token",
            resolution="Use the address that `ray start --head` printed, for example "
            "10.0.0.1:6379.",
        )
    answers = _ask(address)
    if "ACCEPTED" in answers:
        raise ConfigError(
            f"testbed.ray_address: the Ray at {address} lets in who has no token",
            "Without a token, anyone who can reach its ports can run code.",
            "Start it with RAY_AUTH_MODE=token and one token on every host (ray get-auth-token "
            "--generate), and set both here as well.",
        )
    if len(answers) != 2 or not all(one.startswith("UNAUTHENTICATED") for one in answers):
        raise InfrastructureError(
            f"Ray at {address} can't be asked whether it wants a token",
            "\n".join(answers),
            "Run `hpc-campaign doctor`, which finds the cause.",
        )


def _ask(address: str) -> list[str]:
    """Return a line for each question: ACCEPTED, or the code and words of the refusal."""
    kept = ("RAY_USE_TLS", "RAY_TLS_")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RAY_") or name.startswith(kept)
    }
    # -P: nothing that lies in the current folder is taken for grpc.
    command = [sys.executable, "-P", "-c", _QUESTION, address, str(_ASK_TIMEOUT_S / 3)]
    try:
        asked = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return [f"no answer within {_ASK_TIMEOUT_S:.0f} s"]
    return (asked.stdout or asked.stderr).splitlines()
