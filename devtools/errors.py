"""The one error of the developer's tools: its text is a single line that says what to do."""


class SetupError(Exception):
    """A step could not be done; the message names the step and the remedy, never a secret."""
