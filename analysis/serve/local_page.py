"""What pages served to this machine alone have in common: headers, whom they answer, and text made visible."""

from __future__ import annotations

import unicodedata

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
