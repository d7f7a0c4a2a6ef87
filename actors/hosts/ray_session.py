"""Starts or joins Ray.

Ray reads its environment once, when it is imported, so `prepare` must be called before that.
"""

import logging
import os
import secrets
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from actors.hosts import ray_doorbell, ray_folder
from campaign.core import log
from campaign.core.errors import ConfigError, InfrastructureError

_START_ATTEMPTS = 3
_OPTIONS: dict[str, Any] = {
    "log_to_driver": False,
    "logging_level": "error",
    "ignore_reinit_error": True,
}
_log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Room for jobs tables and logs; on one host, images never travel through it."""
TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - the variable's name
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # The memory of VMs is counted by us.
    "RAY_memory_monitor_refresh_ms": "0",
    # Guests inherit it, and by default all other programs of a machine would come before them.
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Its metrics would be served to everybody without a token. Two of its servers have no switch,
    # but go on without a port that can't be listened on.
    "RAY_enable_metrics_collection": "0",
    "AUTOSCALER_METRIC_PORT": "-1",
    "DASHBOARD_METRIC_PORT": "-1",
}


def prepare(address: str | None) -> None:
    """Set Ray's environment for a session of our own, or for joining the Ray at `address`.

    Ray's daemons listen on every interface whatever they are told, and run what anybody sends them.
    So our own demands a token that only this process and its children know, and one that is joined
    must demand one, too: it is asked. Raises ConfigError if this process has no token for that, or
    if that Ray wants none; InfrastructureError if it doesn't answer; and RuntimeError if Ray was
    imported before.
    """
    if "ray" in sys.modules:
        raise RuntimeError("ray was imported before its environment was prepared")
    if address and not _has_token():
        raise ConfigError(
            f"testbed.ray_address: the Ray at {address} would be joined without a token",
            "Without a token, anyone who can reach its ports can run code.",
            "Start it with RAY_AUTH_MODE=token and one token on every host (ray get-auth-token "
            "--generate), and set both here as well.",
        )
    if address:
        ray_doorbell.require_refusal(address)
    os.environ.update(ENVIRONMENT)
    if not address:
        os.environ.update({"RAY_AUTH_MODE": "token", TOKEN: secrets.token_hex(32)})
    keep_token_secret()


def keep_token_secret() -> None:
    """Mask Ray's token, where the environment has it, in all that this process logs."""
    token = os.environ.get(TOKEN, "")
    if len(token) >= log.SHORTEST_SECRET:
        log.keep_secret(token)


def _has_token() -> bool:
    """Return True if Ray's environment names a token, in one of the ways that Ray knows."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return False
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
    return bool(os.environ.get(TOKEN)) or file.is_file()


def start(address: str | None, cpus: int = 1) -> None:
    """Join the Ray at `address`, or start a small one of our own with so many CPUs for tasks.

    Raises InfrastructureError if that can't be. What SIGTERM does stays as it was: Ray's own
    handler would abort a driver that is told to end.
    """
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            ray.init(address=address, **_OPTIONS)
        else:
            ray_folder.sweep()
            _start_own(cpus)
    # Ray raises a bare Exception where its daemons don't come up.
    except Exception as error:  # noqa: BLE001
        where = f"Ray at {address}" if address else "a local Ray"
        raise InfrastructureError(
            f"{where} can't be reached or started: {error}",
            resolution="Run `hpc-campaign doctor`, which finds the cause.",
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _start_own(cpus: int) -> None:
    import ray

    for attempt in range(1, _START_ATTEMPTS + 1):
        folder = str(ray_folder.make())
        store = {"object_store_memory": OBJECT_STORE_BYTES, "_temp_dir": folder}
        try:
            ray.init(address="local", include_dashboard=False, num_cpus=cpus, **store, **_OPTIONS)
            return
        except Exception as error:
            # Ray gives its daemons 30 s, whatever else the machine does; those that came too late
            # end with this process.
            if attempt == _START_ATTEMPTS:
                raise
            _log.warning("Ray didn't start, so it is started again: %s", error)
            ray.shutdown()


def stop() -> None:
    """Leave Ray; if it was our own, end it and remove its files."""
    import ray

    ray.shutdown()
    ray_folder.remove_own()
