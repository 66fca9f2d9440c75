"""The gateway as a server on loopback, in a thread of this process, at a port that the system chooses."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import Receive, Scope, Send

from dataloop_gateway.faults import CutResponse, Faults, failure
from dataloop_gateway.routes import ROUTES, NotThere
from dataloop_gateway.state import Request, State

PREFIX = "/api/v1"  # repositories/commands.py (Commands.get) cuts URLs here


@dataclass
class Gateway:
    """url: what dtlpy calls the environment. state: what is known. faults: what shall go wrong."""

    url: str = ""
    state: State = field(default_factory=State)
    faults: Faults = field(default_factory=Faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        request = await _read(http)
        self.state.requests.append(request)
        fault = self.faults.take(request.method, request.path)
        await self.faults.delay(fault)
        response = failure(fault.status) if fault.status else self._answer(request)
        if fault.cut is not None and fault.cut < len(response.body):
            response = CutResponse(bytes(response.body), fault.cut, media_type=response.media_type)
        try:
            await response(scope, receive, send)
        finally:
            request.ended = time.perf_counter()

    def _answer(self, request: Request) -> Response:
        for known in ROUTES:
            parameters = known.parameters(request.method, request.path)
            if parameters is not None:
                try:
                    answer = known.handler(self.state, request, **parameters)
                except NotThere as error:
                    return JSONResponse({"statusCode": 404, "message": f"{error} is not known"}, 404)
                except Exception as error:
                    self.state.wrong.append(f"{request.method} {request.path}: {error!r}, body {request.body!r:.500}")
                    return failure(400)
                return answer if isinstance(answer, Response) else JSONResponse(answer)
        self.state.wrong.append(f"{request.method} {request.path}: there is no such route")
        return JSONResponse({"statusCode": 404, "message": f"no route {request.method} {request.path}"}, 404)


@contextmanager
def gateway() -> Iterator[Gateway]:
    """A gateway until the block ends. AssertionError there where it was asked for what it does not imitate."""
    served = Gateway()
    app = Starlette(routes=[HttpRoute(PREFIX + "/{path:path}", served)])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="gateway", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the gateway did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    served.url = served.state.url = f"http://127.0.0.1:{port}{PREFIX}"
    try:
        yield served
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
    assert not served.state.wrong, "the gateway was asked for what it has not:\n" + "\n".join(served.state.wrong)


async def _read(http: HttpRequest) -> Request:
    headers = {key.lower(): value for key, value in http.headers.items()}
    path = http.url.path.removeprefix(PREFIX)
    body: Any = None
    if headers.get("content-type", "").startswith("multipart/"):
        async with http.form() as form:
            body = {key: await value.read() if isinstance(value, UploadFile) else value for key, value in form.items()}
    elif await http.body():
        body = await http.json()
    return Request(http.method, path, dict(http.query_params), body, headers, time.perf_counter())
