"""The gate before MLflow's interface: who may ask, what may be asked, and which files are read."""

import asyncio
import base64
import hashlib
import json
import os
import re
import sqlite3
import sys

import pytest

from campaign.tracking.artifact_reader import ArtifactReader
from campaign.tracking.gate import GETS, NOTHING, POSTS, Gate
from campaign.tracking.store import ENVIRONMENT

TOKEN = "t0ken-of-this-start"
HOST = "127.0.0.1:5000"
COOKIE = f"campaign_ui_5000={TOKEN}"
RUN = "0123456789abcdef0123456789abcdef"
FOREIGN = "fedcba9876543210fedcba9876543210"
FRAMED = (("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate"))
LIST = "/ajax-api/2.0/mlflow/artifacts/list"


class Behind:
    """What stands behind the gate: it notes what reaches it."""

    def __init__(self):
        self.heard = []

    async def __call__(self, scope, receive, send):
        body = (await receive())["body"]
        self.heard.append((scope["method"], scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from MLflow"})


@pytest.fixture
def mlruns(tmp_path):
    """A store with two runs: the artifacts of RUN are its own, those of FOREIGN are elsewhere."""
    folder = tmp_path / "mlruns"
    own = folder / "artifacts" / "demo" / RUN / "artifacts"
    (own / "logs").mkdir(parents=True)
    (own / "slurm.conf").write_bytes(b"ClusterName=x\n")
    (own / "logs" / "slurmctld.log").write_bytes(b"started\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_bytes(b"secret")
    with sqlite3.connect(folder / "mlflow.db") as store:
        store.execute("CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT)")
        store.execute("INSERT INTO runs VALUES (?, ?)", (RUN, str(own)))
        store.execute("INSERT INTO runs VALUES (?, ?)", (FOREIGN, f"file://{elsewhere}"))
    store.close()
    return folder


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def ask(mlruns, behind):
    """Asks the gate as an HTTP server would; gives status, headers and body of the answer."""
    gate = Gate(behind, TOKEN, 5000, ArtifactReader(mlruns))

    def asked(path, method="GET", *, query="", body=b"", cookie=COOKIE, host=HOST, headers=()):
        named = [("host", host), ("cookie", cookie), *headers]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named if value],
        }
        sent = []
        received = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive():
            return next(received, None) or await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        asyncio.run(gate(scope, receive, send))
        headers_given = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers_given, b"".join(one.get("body", b"") for one in sent[1:])

    return asked


def test_the_printed_address_gives_a_cookie_and_loses_its_token(ask, behind):
    status, headers, page = ask("/", query=f"token={TOKEN}", cookie="")
    assert status == 200 and headers["referrer-policy"] == "no-referrer"
    (script,) = re.findall(rb"<script>(.+)</script>", page)
    assert b'location.replace("/" + location.hash)' in script and TOKEN.encode() not in page
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in headers["content-security-policy"]
    name, *flags = headers["set-cookie"].split("; ")
    assert name == COOKIE and {"HttpOnly", "SameSite=Strict"} <= set(flags)
    assert ask("/", cookie=name)[0] == 200
    assert behind.heard == [("GET", "/", b"")]


@pytest.mark.parametrize(
    ("query", "cookie"),
    [
        ("", ""),
        ("token=", ""),
        ("token=another", ""),
        ("token=another", COOKIE),
        (f"token={TOKEN}&token={TOKEN}", ""),
        ("", "campaign_ui_5000=another"),
        ("", "campaign_ui_5000="),
        ("", f"campaign_ui_5001={TOKEN}"),
        ("", f"x; {COOKIE}x"),
        ("", "campaign_ui_5000=\u00e9"),
    ],
)
def test_nobody_comes_in_without_the_token(ask, behind, query, cookie):
    status, headers, body = ask("/", query=query, cookie=cookie)
    assert status == 401 and "set-cookie" not in headers
    assert b"hpc-campaign ui" in body and body.count(b"\n") == 1
    assert not behind.heard


def test_another_cookie_of_the_same_name_locks_nobody_out(ask):
    for cookie in (f"campaign_ui_5000=x; {COOKIE}", f"{COOKIE}; campaign_ui_5000=x"):
        assert ask("/", cookie=cookie)[0] == 200


def test_a_cookie_that_is_slow_to_unquote_costs_nothing(ask):
    quoted = 'campaign_ui_5000="' + "\\" * 60_000 + '"'
    assert _steps(lambda: ask("/", cookie=quoted)) < 20_000


def _steps(action):
    """Count the calls of Python's functions, which don't depend on how busy the machine is."""
    counted = 0

    def count(frame, event, argument):
        nonlocal counted
        counted += 1

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return counted


def test_a_token_is_no_entrance_but_for_the_first_page(ask, behind):
    for path in ("/version", "/get-artifact", "/ajax-api/3.0/mlflow/assistant/config", "/x"):
        assert ask(path, query=f"token={TOKEN}", cookie="")[0] == 401
    assert ask("/", "POST", query=f"token={TOKEN}", cookie="")[0] == 401
    assert not behind.heard


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("evil.example", ()),
        ("127.0.0.1.evil.example:5000", ()),
        ("", ()),
        (HOST, [("host", "evil.example")]),
        (HOST, [("origin", "http://evil.example")]),
        (HOST, [("origin", "null")]),
        (HOST, [("origin", "http://127.0.0.1:6000")]),
        (HOST, [("origin", "https://127.0.0.1:5000")]),
        (HOST, [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
        (HOST, [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")]),
        (HOST, [*FRAMED, ("sec-fetch-dest", "iframe")]),
        (HOST, [*FRAMED, ("sec-fetch-dest", "object")]),
    ],
)
def test_pages_of_others_are_refused_though_the_browser_sends_the_cookie(
    ask, behind, host, headers
):
    for method, path in (("GET", "/version"), ("POST", "/ajax-api/2.0/mlflow/runs/search")):
        assert ask(path, method, host=host, headers=headers)[0] == 403
    assert not behind.heard


def test_our_own_pages_may_ask_also_through_a_tunnel(ask):
    own = [("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")]
    assert ask("/version", host="localhost:8080", headers=own)[0] == 200
    followed = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]
    assert ask("/", query=f"token={TOKEN}", cookie="", headers=followed)[0] == 200


def test_what_reading_needs_is_passed_on(ask, behind):
    for path in sorted(GETS):
        assert ask(path)[2] == b"from MLflow"
    for path in sorted(POSTS):
        assert ask(path, "POST", body=b"{}")[2] == b"from MLflow"
    assert ask("/static-files/static/js/main.js")[0] == 200
    assert len(behind.heard) == len(GETS) + len(POSTS) + 1


def _routes():
    """All that MLflow serves, as (method, path)."""
    os.environ.update(ENVIRONMENT)
    from mlflow.server import app

    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"OPTIONS"}):
            yield method, rule.rule


ASSISTANT = "/ajax-api/3.0/mlflow/assistant"
OTHERS = [
    ("PUT", f"{ASSISTANT}/config"),
    ("GET", f"{ASSISTANT}/providers/claude_code/health"),
    ("POST", f"{ASSISTANT}/message"),
    ("POST", "/gateway/x/mlflow/invocations"),
    ("POST", "/v1/traces"),
    ("POST", "/ajax-api/3.0/jobs"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/x"),
    ("GET", "/mcp"),
    ("GET", "//version"),
    ("GET", "/version/"),
    ("GET", "/static-files/../x"),
    ("GET", "/static-files//etc/passwd"),
    ("HEAD", "/"),
    ("OPTIONS", "/version"),
    ("POST", "/"),
    ("get", "/version"),
]


def test_nothing_else_of_mlflow_is_reached(ask, behind):
    read_by_us = {"/get-artifact", LIST, "/static-files/<path:path>"}
    passed = {("GET", path) for path in GETS} | {("POST", path) for path in POSTS}
    nothing = {("GET", path) for path in NOTHING}
    others = {one for one in _routes() if one not in passed and one[1] not in read_by_us} - nothing
    assert len(others) > 300
    for method, path in [*sorted(others), *OTHERS]:
        assert ask(path, method, body=b"{}")[0] == 403, (method, path)
    assert not behind.heard


def test_of_what_is_not_served_the_pages_hear_that_there_is_none(ask, behind):
    for path in NOTHING:
        status, _, body = ask(path, query="gateway_path=api%2F2.0%2Fendpoints%2F")
        assert status == 200 and not any(json.loads(body).values())
        assert ask(path, cookie="")[0] == 401 and ask(path, "POST", body=b"{}")[0] == 403
    assert not behind.heard


WRITES = "create|delete|update|upload|restore|set-|log-|invoke|cancel|rename|assistant"


def test_nothing_that_is_passed_on_writes():
    assert not [path for path in GETS | POSTS for word in WRITES.split("|") if word in path]


def _graphql(query):
    return json.dumps({"query": query, "operationName": None, "variables": {}}).encode()


def test_a_question_for_a_run_is_passed_on_as_it_came(ask, behind):
    body = _graphql(
        "query GetRun($d: X!) { mlflowGetRun(input: $d) { run { ...f } } } "
        "fragment f on MlflowRun { info { runUuid } }"
    )
    assert ask("/graphql", "POST", body=body)[0] == 200
    assert behind.heard == [("POST", "/graphql", body)]


@pytest.mark.parametrize(
    "body",
    [
        _graphql("query Q { mlflowListArtifacts(input: {runId: \"x\"}) { files { path } } }"),
        _graphql("query Q { mlflowGetRun { run { info } } other: mlflowListArtifacts { x } }"),
        _graphql("mutation M { mlflowSearchRuns { runs { info } } }"),
        _graphql("query Q { ...f } fragment f on Query { mlflowListArtifacts { x } }"),
        _graphql("query Q { ... on Query { mlflowListArtifacts { x } } }"),
        _graphql("type X { y: Int }"),
        _graphql("query Q { " + "a " * 10_000 + "}"),
        _graphql("query Q " + "{ mlflowGetRun " * 5_000),
        _graphql(7),
        b"[]",
        b"no JSON",
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_question_for_anything_else_is_refused(ask, behind, body):
    assert ask("/graphql", "POST", body=body)[0] == 403
    assert not behind.heard


def test_a_question_without_end_is_refused(ask, behind):
    assert ask("/graphql", "POST", body=b"x" * (1024 * 1024 + 1))[0] == 413
    assert not behind.heard


def test_a_runs_files_are_given_as_attachments(ask, behind):
    status, headers, body = ask("/get-artifact", query=f"run_uuid={RUN}&path=logs/slurmctld.log")
    assert (status, body) == (200, b"started\n")
    assert headers["content-disposition"].startswith("attachment")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert not behind.heard


def test_a_runs_files_are_listed(ask):
    root = json.loads(ask(LIST, query=f"run_id={RUN}")[2])
    assert root["root_uri"].endswith(f"/artifacts/demo/{RUN}/artifacts")
    assert root["files"] == [
        {"path": "logs", "is_dir": True},
        {"path": "slurm.conf", "is_dir": False, "file_size": 14},
    ]
    assert json.loads(ask(LIST, query=f"run_id={RUN}&path=logs")[2])["files"] == [
        {"path": "logs/slurmctld.log", "is_dir": False, "file_size": 8}
    ]


def test_a_run_without_artifacts_has_none(ask, mlruns):
    own = mlruns / "artifacts" / "demo" / RUN
    own.rename(mlruns / "aside")
    assert json.loads(ask(LIST, query=f"run_id={RUN}")[2])["files"] == []


def _link_of_a_file(own, secret):
    (own / "slurm.conf").unlink()
    (own / "slurm.conf").symlink_to(secret)
    return "slurm.conf"


def _link_of_a_folder(own, secret):
    (own / "logs" / "slurmctld.log").unlink()
    (own / "logs").rmdir()
    (own / "logs").symlink_to(secret.parent)
    return "logs/secret"


def _link_of_the_runs_folder(own, secret):
    own.rename(own.with_name("aside"))
    own.symlink_to(secret.parent)
    return "secret"


def _link_of_the_experiments_folder(own, secret):
    demo = own.parents[1]
    demo.rename(demo.with_name("aside"))
    away = secret.parent / RUN / "artifacts"
    away.mkdir(parents=True)
    secret.rename(away / "secret")
    demo.symlink_to(secret.parent)
    return "secret"


def _pipe(own, secret):
    os.mkfifo(own / "pipe")
    return "pipe"


@pytest.mark.parametrize(
    "attack",
    [
        _link_of_a_file,
        _link_of_a_folder,
        _link_of_the_runs_folder,
        _link_of_the_experiments_folder,
        _pipe,
    ],
)
def test_no_link_is_followed(ask, mlruns, tmp_path, attack):
    own = mlruns / "artifacts" / "demo" / RUN / "artifacts"
    path = attack(own, tmp_path / "elsewhere" / "secret")
    status, _, body = ask("/get-artifact", query=f"run_uuid={RUN}&path={path}")
    assert status == 404 and b"secret" not in body.replace(path.encode(), b"")
    folder, _, name = path.rpartition("/")
    listed = ask(LIST, query=f"run_id={RUN}&path={folder}")[2]
    assert attack is _pipe or name not in listed.decode().replace(f"{folder}\n", "")


@pytest.mark.parametrize(
    "path",
    ["../../../../elsewhere/secret", "/etc/passwd", "logs/../slurm.conf", "./slurm.conf",
     "logs//slurmctld.log", "%252e%252e/x", "a%00b", "logs/", "file:///etc/passwd"],
)  # fmt: skip
def test_a_path_leads_nowhere_else(ask, path):
    assert ask("/get-artifact", query=f"run_uuid={RUN}&path={path}")[0] in (403, 404)
    assert ask(LIST, query=f"run_id={RUN}&path={path}")[0] in (403, 404)


def test_artifacts_outside_the_stores_folder_are_refused(ask, mlruns):
    assert ask("/get-artifact", query=f"run_uuid={FOREIGN}&path=secret")[0] == 403
    assert ask(LIST, query=f"run_id={FOREIGN}")[0] == 403
    away = ["s3://bucket/x", "mlflow-artifacts:/x", "file://host/x", str(mlruns / "artifacts"),
            str(mlruns / "artifacts" / ".." / ".." / "elsewhere"),
            "", "artifacts", "elsewhere", "artifacts/../../elsewhere", "./elsewhere"]  # fmt: skip
    for uri in away:
        with sqlite3.connect(mlruns / "mlflow.db") as store:
            store.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (uri, FOREIGN))
        assert ask("/get-artifact", query=f"run_uuid={FOREIGN}&path=secret")[0] == 403, uri


@pytest.mark.parametrize(
    "query",
    ["path=slurm.conf", f"run_uuid={RUN}", f"run_uuid={RUN}&path=slurm.conf&path=x",
     f"run_uuid={RUN}&run_id={FOREIGN}&path=slurm.conf"],
)  # fmt: skip
def test_a_question_that_can_be_read_in_two_ways_is_refused(ask, query):
    assert ask("/get-artifact", query=query)[0] == 400


def test_a_run_that_is_not_there_has_no_files(ask):
    assert ask("/get-artifact", query="run_uuid=none&path=slurm.conf")[0] == 404


def test_only_http_is_spoken(behind, mlruns):
    gate = Gate(behind, TOKEN, 5000, ArtifactReader(mlruns))
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(gate({"type": "websocket"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert not behind.heard
