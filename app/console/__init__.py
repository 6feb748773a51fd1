"""The web pages: rendered on the server, brought up to date by small scripts that call the JSON API.

Each page works without its script; a script only saves a reload. Nothing is inline and nothing comes from elsewhere, as
the content policy demands.
"""

from flask import Flask

from app.console import (
    clients,
    clients_keys,
    clients_lanes,
    clients_onboarding,
    dashboard,
    errors,
    jobs,
    operations,
    sign_in,
    tokens,
    uploads,
    webhooks,
)
from app.console.formats import register_filters
from app.console.frame import pages

#: Importing them puts their views into the blueprint.
_VIEWS = (
    clients,
    clients_keys,
    clients_lanes,
    clients_onboarding,
    dashboard,
    jobs,
    operations,
    sign_in,
    tokens,
    uploads,
    webhooks,
)


def register(app: Flask) -> None:
    """Put the pages at `/` and have them draw the problems of people."""
    register_filters(app)
    app.register_blueprint(pages)
    errors.register(app)
