"""The daemon's HTTP side: metrics, health, a small JSON API, and the webhook's door."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from farshore.daemon.caller import Caller
from farshore.daemon.tokens import Tokens
from farshore.errors import StateError
from farshore.feed.webhook import is_allowed

START_SECONDS_MAX = 10.0
BACKLOG_OF_CONNECTIONS = 128

TAKEN_AGAIN_S = 2.0
"""Pause before an address that another process has is tried again."""


class Answers:
    """What the API says: each a callable, so that the daemon stays free of HTTP."""

    def __init__(
        self,
        status: Callable[[], dict[str, object]],
        metrics: Callable[[], tuple[bytes, str]],
        ready: Callable[[], str],
        scan: Callable[[], Awaitable[None]],
    ) -> None:
        self.status = status
        self.metrics = metrics
        self.ready = ready
        self.scan = scan


def application(answers: Answers, tokens: Tokens, more: Sequence[BaseRoute] = ()) -> Starlette:
    """The ASGI application. `tokens` is asked at every request of those that need one;
    `/metrics`, `/healthz` and `/readyz` are open: keep to loopback."""

    async def metrics(_: Request) -> Response:
        body, kind = answers.metrics()
        return Response(body, media_type=kind)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        missing = answers.ready()
        return PlainTextResponse(f"{missing or 'ready'}\n", status_code=503 if missing else 200)

    async def status(request: Request) -> Response:
        return _refusal(request, tokens) or JSONResponse(answers.status())

    async def scan(request: Request) -> Response:
        refusal = _refusal(request, tokens)
        if refusal is None:
            await answers.scan()
        return refusal or JSONResponse({"scan": "begun"}, status_code=202)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/v1/status", status),
            Route("/v1/scan", scan, methods=["POST"]),
            *more,
        ]
    )


def _refusal(request: Request, tokens: Tokens) -> Response | None:
    if is_allowed(request.headers.get("authorization", ""), tokens()):
        return None
    return JSONResponse(
        {"error": "a bearer token is needed"},
        status_code=401,
        headers={"WWW-Authenticate": "Bearer"},
    )


@contextlib.asynccontextmanager
async def served(app: Starlette, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the body runs; answers the port. `StateError` when it is taken."""
    listener = _listen(host, port)
    config = uvicorn.Config(
        app, http=Caller, ws="none", log_level="error", access_log=False, lifespan="off"
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def served_when_free(
    app: Starlette, host: str, port: int, say: Callable[[str], None], door: Callable[[bool], None]
) -> AsyncIterator[None]:
    """Serve while the body runs, from the moment on at which nobody else has the address.

    A second daemon on one machine stands by with all that needs no address. `door` is told
    whether somebody can come in. `StateError` for an address that cannot be served at all.
    """
    tried = asyncio.Event()
    task = asyncio.create_task(_serve_for_ever(app, host, port, say, door, tried))
    try:
        await asyncio.wait(
            {task, asyncio.create_task(tried.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if task.done():
            await task
        yield
    finally:
        tried.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _serve_for_ever(
    app: Starlette,
    host: str,
    port: int,
    say: Callable[[str], None],
    door: Callable[[bool], None],
    tried: asyncio.Event,
) -> None:
    while True:
        try:
            async with served(app, host, port) as found:
                say(f"metrics and health on http://{host}:{found}")
                door(True)
                tried.set()
                await asyncio.Event().wait()
        except AddressTaken as error:
            if not tried.is_set():
                say(f"no metrics, API and webhook until it is free: {error.message} {error.hint}")
            door(False)
            tried.set()
        except StateError:
            tried.set()
            raise
        await asyncio.sleep(TAKEN_AGAIN_S)


class AddressTaken(StateError):
    """Another process serves there."""


class _Server(uvicorn.Server):
    """uvicorn, leaving the process's signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, or asyncio sends no small write at once (TCP_NODELAY).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        kind = AddressTaken if error.errno == errno.EADDRINUSE else StateError
        raise kind(
            f"{host}:{port} cannot be served: {error.strerror}.",
            hint="Is another farshore running? Or choose another [daemon] listen.",
        ) from error
    listener.listen(BACKLOG_OF_CONNECTIONS)
    listener.setblocking(False)
    return listener
