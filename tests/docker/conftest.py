"""pytest-celery's container fixtures, for this folder alone.

Its plugin would replace `celery_worker` and others of celery.contrib.pytest for the whole session, so it
is switched off in pyproject.toml and its fixtures are brought in here, where pytest looks first.
"""

from pytest_celery import *  # noqa: F403 - fixtures are found by their names in this module
