"""The one kind of error that is a person's to mend, and errors as one line of text."""

LONGEST_LINE = 300


class UserError(ValueError):
    """A person's mistake; the message is one line: what happened, what is allowed, what to do. Exit code 2."""


class DataError(UserError):
    """A mistake in a person's data; the message is one line that says what, where and how to mend it."""


def one_line(value: object) -> str:
    """The text of `value`, such as an error, on one line."""
    return " ".join(str(value).split())


def error_line(error: BaseException) -> str:
    """An error's type and the last line of what it says, cut where it is very long."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"[:LONGEST_LINE]
