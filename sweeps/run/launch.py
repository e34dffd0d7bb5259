"""From a sweep's file to the engine that all sweeps share: first a line that a person sees, and then its imports."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.command_line import command
from data.doing import doing, telling_what

if TYPE_CHECKING:
    from sweeps.planning.questions import Question

ASKS_FOR_WORDS = ("--help", "-h", "--print-config")  # what is answered from the options alone, and at once


def main(question: Question, arguments: Sequence[str] | None = None) -> int:
    """Run the sweep that answers `question` from the command line.

    Returns: 0 when every trial has a record and none failed, or a limit was reached; 1 when one is missing or failed,
        or the storage gave up; 2 for a person's mistake; 130 after Ctrl-C.
    """
    return command(functools.partial(_main, question))(arguments)


def _main(question: Question, arguments: Sequence[str]) -> int:
    is_quick = set(arguments) & set(ASKS_FOR_WORDS)
    with contextlib.nullcontext() if is_quick else telling_what():
        with doing("importing what plans and runs a sweep"):
            from sweeps.run.sweeping import sweep
        return sweep(question, arguments)
