"""From a sweep's file to the engine that all sweeps share: the plan, a line that a person sees, then heavy imports.

What is wrong with options or plan is one line, said before anything else is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.command_line import command
from data.doing import doing, telling_what
from sweeps.planning.choices import make_plan
from sweeps.planning.device import find_device
from sweeps.planning.options import parse_options
from sweeps.planning.sweep_file import config_text, with_file

if TYPE_CHECKING:
    from sweeps.planning.questions import Question

DRY_RUN_SECONDS = 5.0  # that a dry run says nothing for: most have ended by then, with a plan or with one line


def main(question: Question, arguments: Sequence[str] | None = None) -> int:
    """Run the sweep that answers `question` from the command line.

    Returns: 0 when every trial has a record and none failed, or a limit was reached; 1 when one is missing or failed,
        or the storage gave up; 2 for a person's mistake; 130 after Ctrl-C.
    """
    return command(functools.partial(_main, question))(arguments)


def _main(question: Question, arguments: Sequence[str]) -> int:
    options = parse_options(with_file(arguments, question.options), question.asks, question.options)
    with telling_what(DRY_RUN_SECONDS if options.dry_run else 0.0):
        device = find_device(options)
        plan = None if options.resume else make_plan(options, device, question)
        if options.print_config:
            print(config_text(options, plan or make_plan(options, device, question)), end="")
            return 0
        with doing("importing what plans and runs a sweep"):
            from sweeps.run.sweeping import sweep
        return sweep(question, options, device, plan)
