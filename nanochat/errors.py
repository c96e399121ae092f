"""Errors that a person can mend."""


class UserError(ValueError):
    """Something a person can mend: the message is one line saying what is wrong, where, and what to do."""


class PasswordNeeded(UserError):
    """A document is encrypted, and no password was given, or a wrong one."""
