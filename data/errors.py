"""The one kind of error that is a person's to mend."""


class UserError(ValueError):
    """A person's mistake; the message is one line: what happened, what is allowed, what to do. Exit code 2."""


class DataError(UserError):
    """A mistake in a person's data; the message is one line that says what, where and how to mend it."""
