"""Ray's own access token: whoever may use the Ray dashboard may look at the board, and nobody else."""

from __future__ import annotations

import hmac
import os
import uuid
from pathlib import Path

from aiohttp import web

COOKIE = "ray-authentication-token"  # Ray's own name: a log-in at either page holds for both, as cookies know no port


def ray_token() -> str:
    """The token that Ray would use here; where there is none yet, one is made and kept where Ray looks for it.

    Source: environment variables and default path of ray 2.60, token authentication.
    """
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(given) if given else Path.home() / ".ray" / "auth_token"
    try:
        if token := path.read_text(encoding="utf-8").strip():
            return token
    except FileNotFoundError:
        if given:
            raise
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    path.touch(mode=0o600)
    path.write_text(token, encoding="utf-8")
    return token


def is_allowed(request: web.Request, token: str) -> bool:
    """Whether the request carries the token, as a bearer's header or as the cookie."""
    told = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.cookies.get(COOKIE, "")
    return is_token(told, token)


def is_token(told: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(told.encode("utf-8", "surrogateescape"), token.encode())


def remember(response: web.StreamResponse, token: str) -> None:
    """Leave the token with the browser, out of reach of scripts and of other sites."""
    response.set_cookie(COOKIE, token, path="/", httponly=True, samesite="Strict", max_age=30 * 24 * 3600)
