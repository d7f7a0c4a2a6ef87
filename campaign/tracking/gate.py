"""The gate before MLflow's interface: who may ask, and what may be asked."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import mimetypes
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from campaign.tracking.artifact_reader import ArtifactReader
from campaign.tracking.refused_request import RefusedRequest

_log = logging.getLogger(__name__)

TOKEN = "token"  # noqa: S105 - the parameter's name
_V2 = "/ajax-api/2.0/mlflow"
_V3 = "/ajax-api/3.0/mlflow"
GET_FILE = "/get-artifact"
LIST_FILES = f"{_V2}/artifacts/list"
GRAPHQL = "/graphql"
STATIC = "/static-files/"
GETS = frozenset(
    {
        "/",
        "/health",
        "/version",
        f"{_V2}/experiments/get",
        f"{_V2}/experiments/get-by-name",
        f"{_V2}/experiments/search",
        f"{_V2}/metrics/get-history",
        f"{_V2}/metrics/get-history-bulk",
        f"{_V2}/metrics/get-history-bulk-interval",
        f"{_V2}/model-versions/search",
        f"{_V2}/runs/get",
        f"{_V3}/server-info",
        f"{_V3}/ui-telemetry",  # answers that there is none
    }
)
POSTS = frozenset(
    {
        f"{_V2}/experiments/search",
        f"{_V2}/experiments/search-datasets",
        f"{_V2}/logged-models/search",
        f"{_V2}/runs/search",
    }
)
"""All that is passed on to MLflow, beside its static files and questions of GraphQL.

It is what listing, reading and comparing runs asks for, and none of it changes anything."""
NOTHING: dict[str, dict[str, Any]] = {
    f"{_V2}/gateway-proxy": {"endpoints": []},
    f"{_V2}/users/current": {},
    f"{_V3}/assistant/config": {"providers": {}, "projects": {}, "remote_access_allowed": False},
    f"{_V3}/assistant/providers": {"providers": [], "resolved": None, "gateway_vendor_options": {}},
}
"""What the gate answers to questions after what isn't served: that there is none of it.

MLflow's pages ask them unasked, and complain in the browser's console of a refusal."""
QUESTIONS = frozenset(
    {
        "__typename",
        "mlflowGetExperiment",
        "mlflowGetMetricHistoryBulkInterval",
        "mlflowGetRun",
        "mlflowSearchModelVersions",
        "mlflowSearchRuns",
    }
)
"""The fields that a query of GraphQL may ask for at its top. Artifacts are listed by us alone."""

_ENTER = (
    # Else MLflow's pages begin with an assistant over a third of the table; it isn't served.
    'localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"); '
    'location.replace("/" + location.hash);'
)
_ENTRANCE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>hpc-campaign</title></head>'
    f"<body><noscript>MLflow's pages need JavaScript.</noscript><script>{_ENTER}</script></body>"
    "</html>"
)
_ENTER_DIGEST = base64.b64encode(hashlib.sha256(_ENTER.encode()).digest()).decode()
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")
_LARGEST_QUESTION_BYTES = 1024 * 1024
_LARGEST_QUESTION_TOKENS = 5000
_PIECE_BYTES = 256 * 1024
_ATTACHED = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "no-store",
}
"""An artifact is never shown as a page of ours: its scripts would have the reader's cookie."""


class Gate:
    """Passes the questions of one start's user on to MLflow's `app`, and nothing else.

    A request needs `token`, in a cookie that the printed address sets. It must name this machine's
    loopback as its host and, where it names an origin, that same host: a page from elsewhere can
    neither ask nor be pointed here by a name of its own. `port` is the one that the gate listens
    on. Artifacts are read by `artifacts`; MLflow never hears of them.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, artifacts: ArtifactReader) -> None:
        """Put the gate before `app`, an ASGI application."""
        self._app = app
        self._token = token.encode()
        self._artifacts = artifacts
        # Cookies don't know ports: each gate of a machine has a name of its own.
        self.cookie = f"campaign_ui_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI wants it; only HTTP is spoken."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            _check_origin(request)
            response = self._entrance(request) or await self._answer(request)
        except RefusedRequest as refusal:
            _log.debug("refused: %s %s", request.method, scope["path"])
            headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
            response = PlainTextResponse(f"{refusal.sentence}\n", refusal.status, headers)
        if isinstance(response, Response):
            await response(scope, receive, send)
        else:
            await self._app(scope, response, send)

    def _entrance(self, request: Request) -> Response | None:
        """Return the way on for who brings the token, None for who brings the cookie.

        The page that goes on to MLflow's leaves no address with the token in the browser's history.
        """
        path = request.scope["path"]
        given = request.query_params.getlist(TOKEN)
        if request.method == "GET" and path == "/" and given:
            if len(given) == 1 and self._is_token(given[0]):
                cookie = f"{self.cookie}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict"
                headers = {
                    "Set-Cookie": cookie,
                    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; "
                    f"script-src 'sha256-{_ENTER_DIGEST}'",
                    "X-Content-Type-Options": "nosniff",
                    "Referrer-Policy": "no-referrer",
                    "Cache-Control": "no-store",
                }
                return HTMLResponse(_ENTRANCE, headers=headers)
        elif any(self._is_token(value) for value in _cookies(request, self.cookie)):
            return None
        raise RefusedRequest(
            401, "Open the address that `hpc-campaign ui` printed; it holds the token of its start."
        )

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(errors="replace"), self._token)

    async def _answer(self, request: Request) -> Response | Receive:
        """Return the answer, or what MLflow receives where the question goes on to it."""
        method = request.method
        path = request.scope["path"]
        if method == "GET" and path == GET_FILE:
            return await asyncio.to_thread(self._file, request)
        if method == "GET" and path == LIST_FILES:
            return await asyncio.to_thread(self._files, request)
        if method == "GET" and path in NOTHING:
            return JSONResponse(NOTHING[path], headers={"Cache-Control": "no-store"})
        if method == "POST" and path == GRAPHQL:
            return await _question(request)
        allowed = {"GET": GETS, "POST": POSTS}.get(method, frozenset())
        if path in allowed or (method == "GET" and _is_static(path)):
            return request.receive
        raise RefusedRequest(403, "This interface is for reading runs: nothing else is passed on.")

    def _files(self, request: Request) -> Response:
        asked = _parameters(request)
        found = self._artifacts.list_folder(_run_of(asked), asked.get("path", ""))
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    def _file(self, request: Request) -> Response:
        asked = _parameters(request)
        path = asked.get("path", "")
        if not path:
            raise RefusedRequest(400, "The address names no path of an artifact.")
        file = self._artifacts.open_file(_run_of(asked), path)
        name = quote(PurePosixPath(path).name)
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        attached = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}", **_ATTACHED}
        return StreamingResponse(_pieces(file), headers=attached, media_type=kind)


def _check_origin(request: Request) -> None:
    """Refuse what a page of another origin asks, and names that only seem to be this machine."""
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        raise RefusedRequest(403, "The request names another host than this machine's loopback.")
    own = f"http://{hosts[0]}"
    foreign = any(origin != own for origin in request.headers.getlist("origin"))
    # A browser says which site asks, also where it sends no origin (for a script or a picture).
    site = request.headers.get("sec-fetch-site", "none")
    # A link may lead here, but no page of others may hold ours in a frame, under the reader's eyes.
    navigates = (
        request.method == "GET"
        and request.headers.get("sec-fetch-mode") == "navigate"
        and request.headers.get("sec-fetch-dest", "document") == "document"
    )
    if foreign or (site not in ("none", "same-origin") and not navigates):
        raise RefusedRequest(403, "The request comes from a page of another origin.")


def _cookies(request: Request, name: str) -> list[str]:
    """Return the values of the cookie `name`.

    There may be several: a page on another port of this machine can set one of the same name, and
    must not lock the reader out by it.
    """
    # Not by http.cookies: its time grows with the square of what is quoted, which whoever has no
    # token could use. A token is never quoted.
    pairs = (
        pair.strip().partition("=")
        for line in request.headers.getlist("cookie")
        for pair in line.split(";")
    )
    return [value for given, _, value in pairs if given == name]


def _is_static(path: str) -> bool:
    parts = path.removeprefix(STATIC).split("/")
    return path.startswith(STATIC) and not any(part in ("", ".", "..") for part in parts)


def _parameters(request: Request) -> dict[str, str]:
    """Return the query's parameters; one that is there twice could be read in two ways."""
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedRequest(400, "A parameter stands twice in the address.")
    return found


def _run_of(asked: Mapping[str, str]) -> str:
    ids = {asked[name] for name in ("run_id", "run_uuid") if name in asked}
    if len(ids) != 1:
        raise RefusedRequest(400, "The address must name one run, by run_id or run_uuid.")
    return ids.pop()


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


async def _question(request: Request) -> Receive:
    """Return what MLflow receives: the body of a GraphQL query that asks for runs."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_QUESTION_BYTES:
            raise RefusedRequest(413, "A question of GraphQL has at most 1 MiB.")
    if not _only_reads(body):
        raise RefusedRequest(403, "This interface is for reading runs: nothing else is passed on.")
    sent: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        message = next(sent, None)
        return message if message is not None else await request.receive()

    return receive


def _only_reads(body: bytes) -> bool:
    """Return True if all that this GraphQL document asks for at its top is among QUESTIONS."""
    from graphql import GraphQLError, parse
    from graphql.language import FieldNode, FragmentDefinitionNode, OperationDefinitionNode

    try:
        text = json.loads(body)["query"]
        document = parse(text, no_location=True, max_tokens=_LARGEST_QUESTION_TOKENS)
    except (GraphQLError, ValueError, KeyError, TypeError, RecursionError):
        return False
    for part in document.definitions:
        if isinstance(part, FragmentDefinitionNode):
            continue  # a fragment at the top of a query is refused below
        if not isinstance(part, OperationDefinitionNode) or part.operation.value != "query":
            return False
        for field in part.selection_set.selections:
            if not isinstance(field, FieldNode) or field.name.value not in QUESTIONS:
                return False
    return True
