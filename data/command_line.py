"""A program's command line: flags from a dataclass, and the one place where a person's mistake becomes a line.

Only `UserError` is a person's mistake. Whatever else is raised is a fault of the program, and shows as one.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from data.errors import UserError, one_line
from data.list_options import check_lists

MISTAKE = 2  # exit code for a person's mistake
INTERRUPTED = 130  # exit code after Ctrl-C, as a shell gives it
READER_GONE = 141  # exit code where who read the output ended first, as a shell gives it

Options = TypeVar("Options")
# What tyro says of a value that is no number where one is wanted.
WRONG_KIND = re.compile(r"^(?P<flag>\S+): no type matching (?P<kind>.*) could be .* from \[(?P<given>.*?)\]\.")
WRONG_NUMBER = re.compile(
    r"^(?P<flag>\S+): (?:invalid literal for (?P<kind>int)|could not convert string to float).*?: ?(?P<given>'.*?')"
)
WRONG_CHOICE = re.compile(
    r"invalid choice (?P<given>'.*?') for argument '(?P<flag>.*?)'\. Expected one of \((?P<known>.*?)\)"
)


class Program(Protocol):
    """A program that can be called: with its arguments, or with those that the process was started with."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Returns: the exit code."""
        ...


def command(main: Callable[[Sequence[str]], int]) -> Program:
    """A program's `main`, which may be called without arguments for those that the program was started with.

    Returns: what `main` does, 2 for a person's mistake, told in one line on stderr, 130 after Ctrl-C, and 141 where
    who read the output ended first.
    """

    @functools.wraps(main)
    def guarded(arguments: Sequence[str] | None = None) -> int:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show is no reason to end
        try:
            code = main(sys.argv[1:] if arguments is None else arguments)
            sys.stdout.flush()
            if arguments is None:
                gc.freeze()  # the process ends: its last look for garbage takes two seconds after a sweep's imports
            return code
        except UserError as error:
            return refuse(error)
        except BrokenPipeError:
            if not _reader_has_gone():
                raise
            return READER_GONE
        except KeyboardInterrupt:
            return INTERRUPTED

    return guarded


def _reader_has_gone() -> bool:
    """Whether stdout leads nowhere any more, as in `program | head`; what is left to print then goes nowhere."""
    try:
        sys.stdout.flush()
        watch = select.poll()  # what could not be written may be dropped already: then the pipe itself is asked
        watch.register(sys.stdout.fileno(), select.POLLOUT)
        if not any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0)):
            return False
    except BrokenPipeError:
        pass
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def refuse(error: Exception) -> int:
    """Say a person's mistake in one line on stderr. Returns: the exit code for it."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    return MISTAKE


def parse(kind: type[Options], arguments: Sequence[str], description: str) -> Options:
    """A dataclass from command-line arguments. Raises: UserError; SystemExit(0) after --help."""
    return _parsed(kind, arguments, description)


def parse_known(kind: type[Options], arguments: Sequence[str], description: str) -> tuple[Options, list[str]]:
    """The same, and the arguments that are none of its flags."""
    return _parsed(kind, arguments, description, return_unknown_args=True)


def _parsed(kind: type[Any], arguments: Sequence[str], description: str, **how: Any) -> Any:
    import tyro

    check_lists(kind, arguments)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=arguments,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
                **how,
            )
    except SystemExit as end:
        if not end.code:
            raise
    lines = [re.sub(r"[│╭╮╰╯─]|-{10,}", "", line).strip() for line in complaint.getvalue().splitlines()[1:]]
    message = " ".join(" ".join(lines).split("For full helptext")[0].split())
    message = message.split(" Argument helptext:")[0].removeprefix("Error parsing ")
    if wrong := WRONG_KIND.search(message):
        wanted = re.sub(r"^\{\[|\]\}$|[{}]", "", wrong["kind"])
        message = f"{wrong['flag']}: {wrong['given']} cannot be read as {wanted}"
    elif wrong := WRONG_NUMBER.search(message):
        message = f"{wrong['flag']}: {wrong['given']} cannot be read as {'INT' if wrong['kind'] else 'FLOAT'}"
    elif wrong := WRONG_CHOICE.search(message):
        known = sorted(set(re.findall(r"'(.*?)'", wrong["known"])) - {"None"})
        message = f"{wrong['flag']}: {wrong['given']} is not one of {', '.join(known)}"
    raise UserError(f"{message}; --help lists all options.")
