"""The judge's page and its calls: for this machine alone, below a token, and never saying whose a text is."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from string import Template
from typing import Any, get_args

from aiohttp import web

from analysis.judging.agreement import agreement, agreement_lines
from analysis.judging.judgements import Choice, JudgementStore, Pair
from analysis.serve.local_page import HEADERS, HOST, visible
from analysis.sweep_table.load import Sweep

REQUEST_BYTES = 4096
QUESTIONS = {
    "off_domain": "Which reads more like a sound scientific text on the word?",
    "wanted": "Which reads more like a good quotation on the word?",
}
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Judging:
    """One run of the judge: the deck, what was judged of it, and the way back to the pair before."""

    def __init__(self, sweep: Sweep, store: JudgementStore, deck: Sequence[Pair]) -> None:
        self.sweep = sweep
        self.store = store
        self.deck = {pair.pair_id: pair for pair in deck}
        self._again: list[Pair] = []
        self._judged_here: list[Pair] = []

    def current(self) -> Pair | None:
        """The pair to judge now; None at the deck's end."""
        if self._again:
            return self._again[-1]
        latest = self.store.latest
        return next((pair for pair_id, pair in self.deck.items() if pair_id not in latest), None)

    def judge(self, pair_id: str, choice: Choice) -> None:
        """Store a judgement. Raises: KeyError for a pair that is not in the deck."""
        pair = self.deck[pair_id]
        self.store.add(pair, choice)
        self._again = [item for item in self._again if item is not pair]
        self._judged_here.append(pair)

    def go_back(self) -> None:
        """Show the pair that was judged last once more."""
        if self._judged_here:
            self._again.append(self._judged_here.pop())

    def view(self) -> dict[str, Any]:
        """What the page shows: never whose a text is."""
        pair, latest = self.current(), self.store.latest
        done = sum(pair_id in latest for pair_id in self.deck)
        shown: dict[str, Any] = {
            "done": done,
            "all": len(self.deck),
            "canGoBack": bool(self._judged_here),
            "pair": None,
        }
        if pair is not None:
            shown["pair"] = {
                "id": pair.pair_id,
                "prompt": visible(pair.prompt),
                "question": QUESTIONS["off_domain" if pair.kind == "off_domain" else "wanted"],
                "left": visible(pair.left_text),
                "right": visible(pair.right_text),
            }
        return shown

    def agreement(self) -> list[str]:
        """How far `sample_quality` agrees with the person so far, in sentences."""
        return agreement_lines(agreement(self.store.of_everybody.values(), self.sweep.records))


def make_app(judging: Judging, token: str) -> web.Application:
    """The page and its three calls, all below `/token/`; everything else is not found."""

    async def page(_: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        template = Template(files("analysis.serve").joinpath("judge_page.html").read_text(encoding="utf-8"))
        response = web.Response(text=template.substitute(nonce=nonce), content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
        return response

    async def pair(_: web.Request) -> web.Response:
        return web.json_response(judging.view())

    async def judge(request: web.Request) -> web.Response:
        document = await _document(request)
        if document.get("choice") not in get_args(Choice) or document.get("pair") not in judging.deck:
            raise web.HTTPBadRequest(text=f"pair and one of {', '.join(get_args(Choice))} are required.")
        await asyncio.to_thread(judging.judge, document["pair"], document["choice"])
        return web.json_response(judging.view())

    async def back(request: web.Request) -> web.Response:
        await _document(request)
        judging.go_back()
        return web.json_response(judging.view())

    async def agreed(_: web.Request) -> web.Response:
        return web.json_response({"lines": judging.agreement()})

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check(request, token)
            response = await handler(request)
        except web.HTTPException as refusal:
            response = web.Response(status=refusal.status, text=refusal.text)
        response.headers.update(HEADERS)
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        return response

    app = web.Application(middlewares=[guard], client_max_size=REQUEST_BYTES)
    app.add_routes(
        [
            web.get("/{token}/", page),
            web.get("/{token}/pair", pair),
            web.post("/{token}/judgements", judge),
            web.post("/{token}/back", back),
            web.get("/{token}/agreement", agreed),
        ]
    )
    return app


def _check(request: web.Request, token: str) -> None:
    """Let only this machine's own page in. Raises: an HTTP refusal."""
    transport = request.transport
    port = transport.get_extra_info("sockname")[1] if transport else 0
    own = {f"{HOST}:{port}", f"localhost:{port}"}  # another name that leads here is a trick of a foreign page
    origin = request.headers.get("Origin")
    if request.host not in own or (origin is not None and origin.removeprefix("http://") not in own):
        raise web.HTTPForbidden(text="this page is for its own address only.")
    given = request.match_info.get("token", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode()):
        raise web.HTTPNotFound(text="not found; open the address that the program printed.")


async def _document(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":  # a foreign page cannot send this without asking first
        raise web.HTTPUnsupportedMediaType(text="application/json is required.")
    try:
        document = await request.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise web.HTTPBadRequest(text="a JSON object of strings is required.")
    return document
