"""Starts or joins Ray. Ray reads its environment once, when it is imported, so `prepare` comes before that."""

import os
import secrets
import sys

from campaign.errors import InfrastructureError

OBJECT_STORE_BYTES = 128 * 1024 * 1024  # jobs tables and logs; images never travel through it on one host
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # VMs' memory is counted by us
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def prepare(address: str | None) -> None:
    """Set Ray's environment for a session of our own, or for joining the Ray at `address`.

    Ray's daemons listen on every interface whatever they are told, and run what anybody sends them; so our own asks for
    a token that only this process and its children know. RuntimeError if Ray was imported before.
    """
    if "ray" in sys.modules:
        raise RuntimeError("ray was imported before its environment was prepared")
    os.environ.update(ENVIRONMENT)
    if not address:
        os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})


def start(address: str | None) -> None:
    """Join the Ray at `address`, or start a small one of our own; InfrastructureError if that can't be."""
    import ray

    common = {"log_to_driver": False, "logging_level": "error", "ignore_reinit_error": True}
    try:
        if address:
            ray.init(address=address, **common)
        else:
            store = {"object_store_memory": OBJECT_STORE_BYTES}
            ray.init(address="local", include_dashboard=False, num_cpus=1, **store, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"Ray at {address}" if address else "a local Ray"
        raise InfrastructureError(
            f"{where} can't be reached or started: {error}",
            resolution="`python -m campaign doctor` says what is amiss.",
        ) from None
