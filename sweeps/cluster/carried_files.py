"""A person's files that a job reads: those of the checkout go along with it, and the job is told where they lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from data.domain import SHIPPED_TEXTS
from data.quotes import SHIPPED, names_a_file
from sweeps.planning.options import OptionsError
from trainables.model.models import settled_name

FILE_FLAGS = ("--data", "--base-text", "--prompts", "--model-sizes")
WORDS = {"--data": (SHIPPED,), "--base-text": tuple(SHIPPED_TEXTS)}  # name no file, whatever lies in the folder


def with_carried_files(flags: Sequence[str], checkout: Path) -> list[str]:
    """A sweep's `flags` with every file and folder that they name as it is found from the top of `checkout`.

    A path counts from where the person stands, and one that is not there from the top of the checkout. A whole path
    that leads out of the checkout stays: it may be one of a folder that the cluster's machines share.
    Raises: OptionsError for a file that would not go along.
    """
    carried: list[str] = []
    flag = ""
    for word in flags:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            if equals and _plain(flag) in FILE_FLAGS:
                word = f"{flag}={_carried(_plain(flag), value, checkout)}"
        elif _plain(flag) in FILE_FLAGS:
            word = _carried(_plain(flag), word, checkout)
        carried.append(word)
    return carried


def _plain(flag: str) -> str:
    return flag.replace("_", "-")


def _carried(flag: str, place: str, checkout: Path) -> str:
    if place in WORDS.get(flag, ()) or (flag == "--model-sizes" and not _is_model_folder(place)):
        return place
    here = Path(os.path.abspath(os.path.expanduser(place)))
    if here.exists():
        if here.is_relative_to(checkout):
            return str(here.relative_to(checkout))
        if os.path.isabs(place):
            return place
    elif (checkout / place).exists() or (flag == "--data" and not names_a_file(place)):
        return place
    raise OptionsError(f"{flag} {place} is not in {checkout}, which is what is uploaded; copy it in there.")


def _is_model_folder(name: str) -> bool:
    """Whether a model's name is a folder or a file here, or one that is written as such."""
    return settled_name(name) != name or os.path.isabs(name) or name.startswith((".", "~"))
