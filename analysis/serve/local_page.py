"""What pages served to this machine alone have in common: headers, whom they answer, and text made visible."""

from __future__ import annotations

import hmac
import os
import unicodedata
import uuid
from pathlib import Path

from aiohttp import web

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
LONGEST_SHOWN = 5_000  # characters of a completion; assumed: more than anyone reads to choose
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check_own_name(request: web.Request) -> None:
    """Refuse other names that lead here, a trick of foreign pages; any port, since a tunnel may have another.

    Raises: an HTTP refusal.
    """
    origin = request.headers.get("Origin")
    if request.host.rpartition(":")[0] not in NAMES or (origin is not None and origin != f"http://{request.host}"):
        raise web.HTTPForbidden(text="this page is for its own address only.")


def visible(text: str) -> str:
    """`text` with signs that would not show, or would turn the text around them, written out."""
    cut = len(text) - LONGEST_SHOWN
    shown = "".join(_visible(character) for character in text[:LONGEST_SHOWN])
    return shown + (f" … ({cut:,} more characters)" if cut > 0 else "")


def _visible(character: str) -> str:
    if character < " ":
        return chr(0x2400 + ord(character))  # the block of control pictures
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"⟨U+{ord(character):04X}⟩"
    return character


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
    offered = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.cookies.get(COOKIE, "")
    return is_token(offered, token)


def is_token(offered: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(offered.encode("utf-8", "surrogateescape"), token.encode())


def remember(response: web.StreamResponse, token: str) -> None:
    """Leave the token with the browser, out of reach of scripts and of other sites."""
    response.set_cookie(COOKIE, token, path="/", httponly=True, samesite="Strict", max_age=30 * 24 * 3600)
