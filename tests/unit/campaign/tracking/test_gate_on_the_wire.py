"""The gate behind its real HTTP server: what is sent as bytes gets no further than what is asked
nicely."""

import contextlib
import socket
import threading
import time

import pytest

from campaign.tracking.artifact_reader import ArtifactReader
from campaign.tracking.gate import Gate
from campaign.tracking.server import http_server

TOKEN = "t0ken-of-this-start"
SECONDS = 120


class Behind:
    """What stands behind the gate: it notes what reaches it."""

    def __init__(self):
        self.heard = []

    async def __call__(self, scope, receive, send):
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.heard.append((scope["method"], scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from MLflow"})


@pytest.fixture(scope="module")
def behind():
    return Behind()


@pytest.fixture(scope="module")
def port(behind, tmp_path_factory):
    """The port of a running server."""
    folder = tmp_path_factory.mktemp("mlruns")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = http_server(Gate(behind, TOKEN, port, ArtifactReader(folder)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield port
        server.should_exit = True
        thread.join(SECONDS)
    assert not thread.is_alive()


@pytest.fixture
def say(port, behind):
    """Send bytes, and return all that comes until the server hangs up."""
    behind.heard.clear()

    def said(text):
        deadline = time.monotonic() + SECONDS
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            answer = b""
            # It may have hung up already, which its answer says.
            with contextlib.suppress(ConnectionError):
                connection.sendall(text)
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65536):
                    answer += piece
                    assert time.monotonic() < deadline
            return answer

    return said


def request(port, start, *headers, body=b"", cookie=True, last=True):
    """The bytes of a request; the server hangs up after the last one."""
    lines = [start, f"Host: 127.0.0.1:{port}", *headers, *["Connection: close"][:last]]
    if cookie:
        lines.append(f"Cookie: campaign_ui_{port}={TOKEN}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def statuses(answer):
    return [line.split(b" ", 2)[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1")]


def test_who_has_the_cookie_is_served(say, port, behind):
    assert statuses(say(request(port, "GET /version HTTP/1.1"))) == [b"200"]
    assert behind.heard == [("GET", "/version", b"")]


def test_each_request_of_a_connection_needs_the_token(say, port, behind):
    start = "GET /version HTTP/1.1"
    let_in = request(port, start, last=False)
    outside = request(port, start, cookie=False, last=False)
    # The server may hang up on who was refused.
    answer = statuses(say(let_in + let_in + outside + request(port, start, cookie=False)))
    assert answer[:3] == [b"200", b"200", b"401"] and set(answer[3:]) <= {b"401"}
    assert len(behind.heard) == 2


SMUGGLED = b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SEARCH = "POST /ajax-api/2.0/mlflow/runs/search HTTP/1.1"


@pytest.mark.parametrize(
    "headers",
    [
        [f"Content-Length: {len(SMUGGLED)}"],
        ["Content-Length: 0", f"Content-Length: {len(SMUGGLED)}"],
        [f"Content-Length: {len(SMUGGLED)}", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding:\tchunked", "Content-Length: 4"],
        ["Content-Length: +4"],
        ["Content-Length: -1"],
    ],
)
def test_a_request_inside_anothers_body_reaches_nothing(say, port, behind, headers):
    body = b"0\r\n\r\n" + SMUGGLED if "chunked" in "".join(headers) else SMUGGLED
    whole = request(port, SEARCH, *headers, body=body, last=False)
    answer = say(whole + request(port, "GET /last HTTP/1.1"))
    # Read as a body, refused as no HTTP, or taken for a request without the cookie.
    assert statuses(answer)[-1] in (b"400", b"401", b"403", b"501")
    assert b"/version" not in b"".join(path.encode() for _, path, _ in behind.heard)


@pytest.mark.parametrize(
    "method",
    ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "GETS"],
)
def test_no_other_method_is_passed_on(say, port, behind, method):
    for path in ("/", "/version", "/get-artifact?run_id=x&path=y"):
        overridden = request(port, f"{method} {path} HTTP/1.1", "X-HTTP-Method-Override: GET")
        assert set(statuses(say(overridden))) <= {b"403", b"400"}
    assert not behind.heard


@pytest.mark.parametrize(
    "path",
    [
        "//version",
        "/version/",
        "/./version",
        "/static-files/../version",
        "/static-files/%2e%2e/%2e%2e/server/handlers.py",
        "/static-files/..%2f..%2fserver/handlers.py",
        "/static-files//etc/passwd",
        "/static-files/%2fetc/passwd",
        "/ajax-api/2.0/mlflow/runs/get/../delete",
        "/ajax-api/2.0/mlflow/runs/delete;/version",
        "/VERSION",
        "/version%00",
        "/version%0d%0aX: y",
        "http://127.0.0.1/ajax-api/3.0/mlflow/assistant/config",
        "http://evil.example/version",
        "*",
    ],
)
def test_a_path_is_what_it_says_or_is_refused(say, port, behind, path):
    assert set(statuses(say(request(port, f"GET {path} HTTP/1.1")))) <= {b"403", b"400"}
    assert not behind.heard


def test_a_letter_written_in_hexadecimal_is_that_letter(say, port, behind):
    assert statuses(say(request(port, "GET /%76ersion HTTP/1.1"))) == [b"200"]
    assert statuses(say(request(port, "GET /%2576ersion HTTP/1.1"))) == [b"403"]
    assert [path for _, path, _ in behind.heard] == ["/version"]


@pytest.mark.parametrize("cookie", [True, False])
def test_nothing_but_http_is_spoken(say, port, behind, cookie):
    websocket = ("Connection: Upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    start = "GET /ajax-api/3.0/mlflow/assistant HTTP/1.1"
    answer = say(request(port, start, *websocket, key, cookie=cookie, last=False))
    assert statuses(answer) == [b"403" if cookie else b"401"]
    http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    assert b"101" not in statuses(say(http2)) and not behind.heard


def test_headers_without_an_end_are_cut_off(say, port, behind):
    endless = b"GET / HTTP/1.1\r\n" + b"".join(
        b"X-%d: %s\r\n" % (n, b"x" * 90) for n in range(9000)
    )
    answer = say(endless)
    assert statuses(answer) in ([b"400"], [])
    assert statuses(say(b"G" * 900_000)) in ([b"400"], [])
    assert not behind.heard


def test_an_old_client_must_name_its_host_too(say, port, behind):
    bare = (
        f"GET /version HTTP/1.0\r\nConnection: close\r\nCookie: campaign_ui_{port}={TOKEN}\r\n\r\n"
    )
    assert statuses(say(bare.encode())) == [b"403"]
    assert not behind.heard
