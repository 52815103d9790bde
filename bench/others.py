"""Other senders that people use today, each in a virtual environment of its own: their pins and ours do not agree."""


class OtherError(Exception):
    """Another sender cannot be installed or run; says what to do."""
