"""The board's server: read-only, for this machine, below Ray's token; it also answers what Ray's dashboard asks
of Grafana and Prometheus before it shows a page of theirs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files

from aiohttp import web

from analysis.serve.board_sweeps import FollowedSweeps
from analysis.serve.local_page import HEADERS, check_own_name, is_allowed, is_token, remember

LOCAL_SECONDS, REMOTE_SECONDS = 1.0, 5.0
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none';"
    " form-action 'self'; frame-ancestors {frames}"
)
OPEN = ("/api/health", "/api/v1/query", "/login", "/page/board.css")  # they say nothing of the sweep
KINDS = {"css": "text/css", "js": "text/javascript", "html": "text/html"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(sweeps: FollowedSweeps, token: str, frames: list[str]) -> web.Application:
    """The board. `frames` are the origins that may frame it; it may grow while the board runs."""

    async def page(request: web.Request) -> web.StreamResponse:
        if is_token(request.query.get("token", ""), token):
            answer = web.Response(status=303, headers={"Location": request.path})
            remember(answer, token)
            return answer
        return _file("index.html")

    async def login(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        if not is_token(str(form.get("token", "")).strip(), token):
            return _file("login.html", status=401)
        answer = web.Response(status=303, headers={"Location": "/"})
        remember(answer, token)
        return answer

    async def static(request: web.Request) -> web.StreamResponse:
        return _file(request.match_info["name"])

    async def rows(request: web.Request) -> web.StreamResponse:
        news = sweeps.since(request.query.get("since"), request.query.get("sweep"))
        return web.Response(status=204) if news is None else web.Response(text=news, content_type="application/json")

    async def trial(request: web.Request) -> web.StreamResponse:
        sweep = sweeps.get(request.query.get("sweep", ""))
        found = sweep and await asyncio.to_thread(sweep.detail, request.match_info["trial"])
        if found is None:
            raise web.HTTPNotFound(text="no ended trial of this name.")
        return web.json_response(found)

    async def front(request: web.Request) -> web.StreamResponse:
        sweep = sweeps.get(request.query.get("sweep", ""))
        if sweep is None:
            raise web.HTTPNotFound(text="no such sweep.")
        model, card = request.query.get("model", ""), request.query.get("card", "")
        return web.json_response(asdict(await asyncio.to_thread(sweep.standing, model, card)))

    async def ladder(request: web.Request) -> web.StreamResponse:
        sweep = sweeps.get(request.query.get("sweep", ""))
        if sweep is None:
            raise web.HTTPNotFound(text="no such sweep.")
        return web.json_response(await asyncio.to_thread(sweep.ladder))

    async def health(_: web.Request) -> web.StreamResponse:
        return web.json_response({"database": "ok"})

    async def query(request: web.Request) -> web.StreamResponse:
        """Ray asks vector(1) to see that somebody is there; of all else there is no data here."""
        asked = request.query.get("query") == "vector(1)"
        result = [{"metric": {}, "value": [0, "1"]}] if asked else []
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_own_name(request)
            is_open = request.path in OPEN or is_token(request.query.get("token", ""), token)
            if is_open or is_allowed(request, token):
                response = await handler(request)
            elif request.path.startswith("/api/"):
                response = web.Response(status=401, text="Ray's token is required, as a bearer's header or a cookie.")
            else:
                response = _file("login.html", status=401)
        except web.HTTPException as refusal:
            response = web.Response(status=refusal.status, text=refusal.text)
        response.headers.update(HEADERS)
        response.headers["Referrer-Policy"] = "same-origin"  # without any, a browser gives the form's origin as null
        response.headers["Content-Security-Policy"] = POLICY.format(frames=" ".join(["'self'", *frames]))
        return response

    async def follow(_: web.Application):
        task = asyncio.create_task(_follow(sweeps))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = web.Application(middlewares=[guard], client_max_size=4096)
    app.cleanup_ctx.append(follow)
    pages = [web.get(path, page) for path in ("/", "/d/{uid}/", "/d/{uid}", "/d/{uid}/{name}", "/d-solo/{uid}/{name}")]
    app.add_routes(
        [
            *pages,
            web.post("/login", login),
            web.get(r"/page/{name:[a-z]+\.(?:js|css)}", static),
            web.get("/api/rows", rows),
            web.get("/api/trials/{trial}", trial),
            web.get("/api/front", front),
            web.get("/api/ladder", ladder),
            web.get("/api/health", health),
            web.get("/api/v1/query", query),
        ]
    )
    return app


async def _follow(sweeps: FollowedSweeps) -> None:
    seconds = LOCAL_SECONDS if sweeps.storage.is_local else REMOTE_SECONDS
    while True:
        # A storage that does not answer for a moment is asked again at the next look.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(sweeps.look)
        await asyncio.sleep(seconds)


def _file(name: str, status: int = 200) -> web.Response:
    try:
        text = files("analysis.serve").joinpath("board_page", name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise web.HTTPNotFound(text="not found.") from None
    return web.Response(status=status, text=text, content_type=KINDS[name.rpartition(".")[2]], charset="utf-8")
