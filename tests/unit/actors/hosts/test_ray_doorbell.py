"""A Ray is asked whether it wants a token: it must refuse who has none, and who has a wrong one."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from actors.hosts import ray_doorbell
from campaign.core.errors import ConfigError, InfrastructureError

grpc = pytest.importorskip("grpc")
METHOD = "/ray.rpc.NodeInfoGcsService/GetClusterId"


@contextmanager
def gcs(refuses):
    """A GCS that refuses the requests for which `refuses(authorization)` names a status."""
    seen = []

    def answer(request, context):
        given = dict(context.invocation_metadata()).get("authorization", "")
        seen.append(given)
        if status := refuses(given):
            context.abort(status, "InvalidAuthToken: Authentication token is missing or incorrect")
        return b"\n\x00\x12\x01x"

    class Service(grpc.GenericRpcHandler):
        def service(self, call):
            if call.method == METHOD:
                return grpc.unary_unary_rpc_method_handler(answer)
            return None

    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        server.stop(None)


UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


def test_one_that_refuses_is_joined_and_never_sees_our_token(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ab" * 32)
    with gcs(lambda given: UNAUTHENTICATED) as (address, seen):
        ray_doorbell.require_refusal(address)
    assert seen == ["", f"Bearer {'0' * 64}"]


@pytest.mark.parametrize(
    "refuses",
    [
        lambda given: None,
        lambda given: UNAUTHENTICATED if given else None,
        lambda given: None if given else UNAUTHENTICATED,
    ],
    ids=["nobody", "wrong tokens only", "no tokens only"],
)
def test_one_that_lets_anybody_in_is_refused(refuses):
    with gcs(refuses) as (address, _), pytest.raises(ConfigError, match="no token") as caught:
        ray_doorbell.require_refusal(address)
    assert "RAY_AUTH_MODE=token" in caught.value.resolution


def test_another_refusal_proves_nothing():
    def refuses(given):
        return grpc.StatusCode.PERMISSION_DENIED

    with gcs(refuses) as (address, _), pytest.raises(InfrastructureError, match="can't be asked"):
        ray_doorbell.require_refusal(address)


def test_one_that_does_not_answer_is_not_joined(monkeypatch):
    monkeypatch.setattr(ray_doorbell, "_ASK_TIMEOUT_S", 6.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(InfrastructureError, match=f"{address} can't be asked"):
            ray_doorbell.require_refusal(address)


@pytest.mark.parametrize("address", ["auto", "local", "ray://h:10001", "h", "h:x", "-c:1 x", ""])
def test_an_address_that_nobody_can_ask_is_refused(address):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        ray_doorbell.require_refusal(address)
