"""Errors that a user can fix: one line that names the thing and says what to do."""


class VocalTractError(ValueError):
    """Whatever was asked for cannot be done; printed without a traceback."""


class UtterancesMissingError(VocalTractError):
    """Some utterances of a corpus cannot be made; the folder is complete but for them."""
