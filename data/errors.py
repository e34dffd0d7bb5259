"""The one kind of error that is a person's to mend."""


class UserError(ValueError):
    """A person's mistake; the message is one line: what happened, what is allowed, what to do. Exit code 2."""
