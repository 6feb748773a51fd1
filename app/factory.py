"""create_app(): the only place where Flask is wired.

`flask --app app.factory …` and `gunicorn 'app.factory:create_app()'` both come in here.
"""

from collections.abc import Callable
from typing import Any

from apiflask import APIFlask

from app import __version__, console
from app.accounts.cli import tenants_cli, users_cli
from app.clients.cli import clients_cli
from app.clients.keys_cli import keys_cli
from app.clients.tokens_cli import tokens_cli
from app.http import access, auth, limits, openapi, problems, security
from app.http.broker import Broker
from app.http.clients import clients
from app.http.dispatch import DispatchThread
from app.http.enrichment_jobs import enrichment_jobs
from app.http.enrichment_webhook import enrichment_webhook
from app.http.events import events
from app.http.health import health
from app.http.job_acts import job_acts
from app.http.jobs import jobs
from app.http.keys import keys
from app.http.lanes import lanes
from app.http.live.hub import EventHub
from app.http.login import login
from app.http.metrics import metrics
from app.http.process import process
from app.http.results import results
from app.http.sessions import BearersHaveNone
from app.http.stopping import Stopping
from app.http.timeline import timeline
from app.http.tokens import tokens
from app.http.uploads import uploads
from app.http.webhooks import webhooks
from app.logs import configure_logging
from app.settings import Settings, get_settings
from app.uploads.storage import LocalStorage
from routing.rate_limits.limiter import Limiter as ProviderLimits
from routing.rate_limits.limits import LimitPolicy

BLUEPRINTS = (
    health,
    login,
    tokens,
    uploads,
    jobs,
    job_acts,
    enrichment_jobs,
    enrichment_webhook,
    events,
    timeline,
    process,
    results,
    lanes,
    clients,
    keys,
    webhooks,
    metrics,
)
#: Bodies other than uploads: a form or a little JSON.
SMALL_BODY_BYTES = 1024 * 1024


class Application(APIFlask):
    """Flask without what no view of ours needs, which each request would pay for."""

    session_interface = BearersHaveNone()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none here is a coroutine, and Flask would look whether it is sixteen times a request."""
        return func


def create_app(settings: Settings | None = None) -> APIFlask:
    """Build the application. Raises `Misconfigured` for an environment that can't work."""
    settings = settings or get_settings()
    configure_logging(settings)
    app = Application(
        __name__,
        title="Laneway",
        version=__version__,
        spec_path=None,
        docs_path=None,
        json_errors=False,
    )
    app.config.update(
        SECRET_KEY=settings.secret_key.get_secret_value(),
        MAX_CONTENT_LENGTH=SMALL_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=SMALL_BODY_BYTES,
    )
    _connect(app, settings)
    # In this order: the id of a request first, then who is let in, then what is said to the browser.
    access.register(app)
    limits.register(app, settings)
    security.register(app, settings)
    auth.register(app)
    problems.register(app)
    openapi.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    console.register(app)
    for group in (tenants_cli, users_cli, tokens_cli, clients_cli, keys_cli):
        app.cli.add_command(group)
    return app


def _connect(app: APIFlask, settings: Settings) -> None:
    """Put what views reach for into the application; nothing connects before it is used."""
    app.extensions["broker"] = Broker(settings.redis_url)
    app.extensions["provider_limits"] = ProviderLimits.connect(
        settings.limits_url, LimitPolicy.from_settings(settings)
    )
    app.extensions["storage"] = LocalStorage(settings.storage_path)
    app.extensions["event_hub"] = EventHub(heartbeat_seconds=settings.event_heartbeat_seconds)
    app.extensions["dispatch"] = DispatchThread()
    app.extensions["stopping"] = Stopping()
