"""The errors of the developer's tools: the text is a single line that says what to do."""


class SetupError(Exception):
    """A step could not be done; the message names the step and the remedy, never a secret."""


class SampleError(SetupError):
    """Everything runs, but the sample did not come to its end."""
