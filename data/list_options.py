"""Options that take a list, as `--learning-rates 1e-4 3e-4`: what people write otherwise is told, not taken for one."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from data.errors import UserError

COMMA = re.compile(r",(?! )")  # parts values; before a space it belongs to a text, such as a prompt of several words
BETWEEN = re.compile(r"[,\s()\[\]]+")
DECIMAL = re.compile(r"-?0,\d+")  # as half of Europe writes a fraction
SHOWN = 60


def check_lists(kind: type[Any], arguments: Sequence[str]) -> None:
    """See that each list of the dataclass `kind` is given once, its values parted by spaces. Raises: UserError."""
    lists, given = set(_flags_of_lists(kind)), set[str]()
    flag = ""
    for argument in arguments:
        value = argument
        if argument.startswith("--"):
            flag, _, value = argument.partition("=")
            flag = flag.replace("_", "-")
            if flag in given:
                raise UserError(f"{flag} is given twice; give all its values behind one, with spaces between them.")
            given |= {flag} & lists
        if flag in lists and COMMA.search(value) and not _names_a_place(value):
            apart = " ".join(filter(None, BETWEEN.split(value)))
            one = f", or write {value.replace(',', '.')}" if DECIMAL.fullmatch(value) else ""
            raise UserError(f"{flag} {value[:SHOWN]}: separate values by spaces, as in {flag} {apart[:SHOWN]}{one}")


def _names_a_place(value: str) -> bool:
    """Whether the comma may stand in a path or an address."""
    return "://" in value or os.path.exists(os.path.expanduser(value))


def _flags_of_lists(kind: type[Any]) -> Iterator[str]:
    import tyro

    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
        if tyro.conf.UseAppendAction in marks:
            continue  # such a flag is given once for each value
        bare = typing.get_args(hint)[0] if marks else hint
        if any(typing.get_origin(one) is tuple for one in (bare, *typing.get_args(bare))):
            named = (getattr(mark, "name", None) for mark in marks)
            yield f"--{(next(filter(None, named), None) or name).replace('_', '-')}"
