"""The flags that declared settings give to programs: a field for tyro each, with its help text from settings.py."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from typing import Annotated, Any

from tyro.conf import arg

from trainables.records.settings import DEFAULTS, SETTINGS, SharedSettings


def flags(name: str, names: Iterable[str], *, by_device: bool = False) -> type[Any]:
    """A dataclass of this name with a field for each of the shared settings called `names`.

    With `by_device` a default that is another one on CUDA is None: it is chosen once the device is known.
    """
    hints = typing.get_type_hints(SharedSettings)
    listed = [(one, *_flag(one, hints[one], by_device=by_device)) for one in names]
    return dataclasses.make_dataclass(name, listed, frozen=True, kw_only=True)


def _flag(name: str, kind: Any, *, by_device: bool) -> tuple[Any, Any]:
    declared, default = SETTINGS[name], DEFAULTS[name]
    if by_device and declared.default_on_cuda is not None:
        text = f"{declared.help} [CPU: {default}; GPU: {declared.default_on_cuda}]"
        return Annotated[kind | None, arg(help=text, help_behavior_hint="")], dataclasses.field(default=None)
    return Annotated[kind, arg(help=declared.help)], dataclasses.field(default=default)
