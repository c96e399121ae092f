"""The one error that a person can mend."""


class UserError(ValueError):
    """Something a person can mend: the message is one line saying what is wrong, where, and what to do."""
