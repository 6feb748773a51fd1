"""Every environment variable that Laneway reads, typed and checked once at start.

Nothing else in the code reads `os.environ`. Names are the variable's names in lower case; units stand in
the name. `docs/operations.md` has the table for people.
"""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import Misconfigured
from app.refusal_words import in_words

#: Separated by commas.
Names = Annotated[list[str], NoDecode]
#: One group a client, separated by semicolons; within a group one entry a key, separated by commas. Nothing: no group.
SecretGroups = Annotated[list[list[SecretStr]], NoDecode]
NumberGroups = Annotated[list[list[int]], NoDecode]
SHORTEST_WEBHOOK_SECRET = 16


def read_secrets(secrets: SecretStr | None) -> list[str]:
    """Return the secrets in a setting, which may hold several with spaces between: any of them is good."""
    return secrets.get_secret_value().split() if secrets else []


def _check_secrets(secrets: SecretStr) -> SecretStr:
    found = read_secrets(secrets)
    # Short ones could be guessed from one signed call.
    if not found or min(map(len, found)) < SHORTEST_WEBHOOK_SECRET:
        raise ValueError(
            f"a webhook secret has at least {SHORTEST_WEBHOOK_SECRET} characters; several are written with spaces between"
        )
    return secrets


WebhookSecret = Annotated[SecretStr, AfterValidator(_check_secrets)]
#: How no limit at all was written before 0 could be; this and larger numbers mean it still.
NO_LIMIT = 1_000_000_000


class Settings(BaseSettings):
    """The typed environment. Raises `pydantic.ValidationError`; use `get_settings` for a readable one."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True)

    # --- servers -----------------------------------------------------------------------------------
    database_url: str = "postgresql+psycopg2://laneway_app@127.0.0.1:5432/laneway"
    #: Used by migrations and `flask … db` only: may create tables and roles. Default: DATABASE_URL.
    database_owner_url: str | None = None
    #: The role that web and workers act as. Row-level security binds it; see docs/adr/0005.
    database_role: str = "laneway_app"
    #: Migrations give that role this password and let it log in.
    database_app_password: SecretStr | None = None
    #: Connections that a process keeps: the web's sixteen threads, and what runs beside them.
    database_pool_size: int = Field(default=20, ge=1)
    redis_url: str = "redis://127.0.0.1:6379/0"
    #: Where provider limits are kept; a second Redis if wished. Default: REDIS_URL.
    rate_limit_redis_url: str | None = None

    # --- secrets -----------------------------------------------------------------------------------
    #: Signs sessions, CSRF tokens and API tokens; also salts key fingerprints. At least 32 characters.
    secret_key: SecretStr = Field(min_length=32)
    #: Fernet keys that encrypt stored secrets, newest first, separated by commas.
    encryption_keys: SecretStr = Field(min_length=44)
    access_token_minutes: int = Field(default=60, ge=1)
    session_cookie_secure: bool = True
    #: Attempts from one address.
    login_limit: str = "10 per minute; 50 per hour"
    #: Attempts for one e-mail, from wherever; several times what one address may make.
    login_email_limit: str = "60 per minute; 300 per hour"
    #: A session ends so long after its sign-in, however busy it was; 12 hours without a request end it sooner.
    session_max_days: int = Field(default=7, ge=1)
    api_limit: str = "1200 per minute"
    #: Of a client's people and programs together; the answers say how it stands (`RateLimit`).
    tenant_limit: str = "12000 per minute"
    upload_limit: str = "120 per minute"
    #: Streams of events that one web process keeps open, and of them for one client; who comes later polls. Each takes
    #: a file descriptor: stay well below the process's limit of them.
    event_streams: int = Field(default=600, ge=0)
    event_streams_per_client: int = Field(default=200, ge=0)
    #: Something is sent on each stream at least this often.
    event_heartbeat_seconds: float = Field(default=15.0, gt=0)
    #: Bearer token of POST /api/enrichment/process; without one nobody drives work over HTTP.
    cron_secret: SecretStr | None = Field(default=None, min_length=16)
    #: Chunks that such a call runs at once.
    max_concurrent_jobs: int = Field(default=10, ge=1, le=200)
    #: Bearer token for /metrics; without one, /metrics answers to loopback only.
    metrics_token: SecretStr | None = None
    #: With several web processes: a folder, empty at start, where they add up their metrics (prometheus-client).
    prometheus_multiproc_dir: Path | None = None
    #: Number of proxies in front whose X-Forwarded-* headers are trusted.
    trusted_proxies: int = Field(default=0, ge=0)

    # --- uploads -----------------------------------------------------------------------------------
    storage_path: Path = Path(".local/storage")
    upload_max_bytes: int = Field(default=200 * 1024 * 1024, ge=1)
    upload_max_rows: int = Field(default=1_000_000, ge=1)
    #: CPU seconds that reading one workbook may take; after them it is refused.
    upload_parse_seconds: float = Field(default=300.0, gt=0)
    bad_rows_kept: int = 1_000

    # --- the ledger --------------------------------------------------------------------------------
    #: Each chunk costs a worker about 10 ms of messages and transactions, whatever its length.
    chunk_rows: int = Field(default=200, ge=1, le=10_000)
    chunk_max_attempts: int = Field(default=5, ge=1)
    #: A running chunk hands itself back after this long while others wait: a slot is never kept.
    chunk_slice_seconds: float = Field(default=20.0, gt=0)
    lease_seconds: float = Field(default=30.0, gt=1)
    dispatch_interval_seconds: float = Field(default=1.0, gt=0)
    #: Messages kept in a lane that no live worker serves, so that the work is visible in its queue.
    unattended_window: int = Field(default=4, ge=1)
    #: A released chunk whose message is not in Redis counts as lost after this long.
    lost_message_seconds: float = Field(default=5.0, gt=0)
    #: Figures of jobs and calls by the minute are kept so long.
    figures_days: int = Field(default=90, ge=1)
    #: A worker's heartbeat.
    presence_seconds: float = Field(default=3.0, gt=0)
    #: Without one for so long it counts as gone.
    presence_timeout_seconds: float = Field(default=15.0, gt=1)
    #: In milliseconds, as other systems of this kind name them; they set the three above and below that are in seconds.
    poll_interval: int | None = Field(default=None, ge=1)
    health_check_interval: int | None = Field(default=None, ge=1)
    graceful_shutdown_timeout: int | None = Field(default=None, ge=1, le=30_000)
    #: Where a worker answers /health and /metrics; 0: nowhere. One that is taken is gone without.
    health_check_port: int = Field(default=3001, ge=0, le=65_535)
    health_check_host: str = "127.0.0.1"
    shutdown_grace_seconds: float = Field(default=25.0, gt=0, le=30)

    # --- verification ------------------------------------------------------------------------------
    #: Who verifies where nobody names a provider. `app/verification/providers.py` has the same names.
    verification_provider: Literal["mailtester", "hunter"] = "mailtester"
    mailtester_base_url: str = "https://happy.mailtester.ninja"
    mailtester_token_url: str = "https://token.mailtester.ninja/token"  # noqa: S105 - an address
    #: `key` sends ?key= with each call; `token` fetches a day's token first (the older contract).
    mailtester_contract: Literal["key", "token"] = "key"
    provider_timeout_seconds: float = Field(default=30.0, gt=0)
    #: Calls of one chunk that may be under way at once; the keys' limits stand in front of it.
    chunk_concurrency: int = Field(default=32, ge=1)
    item_max_attempts: int = Field(default=5, ge=1)
    retry_base_delay: int = Field(default=1_000, ge=1, description="ms")
    retry_max_delay: int = Field(default=300_000, ge=1, description="ms")
    retry_backoff_multiplier: float = Field(default=2.0, ge=1)
    flush_seconds: float = Field(default=1.0, gt=0)
    flush_calls: int = Field(default=50, ge=1)
    check_syntax: bool = True
    check_disposable: bool = True
    check_mx: bool = True
    dns_timeout_seconds: float = Field(default=2.0, gt=0)

    # --- enrichment --------------------------------------------------------------------------------
    #: Which providers are asked about a lead, the first first; a miss goes on to the next.
    enrichment_chain: Names = Field(default_factory=lambda: ["apollo", "hunter"])
    #: Days that an answer is remembered, by kind of field, and for a miss; 0: not at all.
    enrichment_cache_days: Annotated[dict[str, float], NoDecode] = Field(
        default_factory=lambda: {
            "email": 30.0,
            "phone": 30.0,
            "company": 90.0,
            "social": 90.0,
            "person": 30.0,
            "miss": 3.0,
        }
    )
    #: What a look-up costs at a provider, or more for a kind (`apollo.phone`); it goes before the table in the code.
    enrichment_costs: Annotated[
        dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], NoDecode
    ] = Field(default_factory=dict)
    #: Whether an answer that one client's question brought may answer another's (docs/adr/0018).
    enrichment_shared_answers: bool = False
    #: How long a lead waits for another chunk that is asking the same question; 0: not at all.
    enrichment_flight_seconds: float = Field(default=5.0, ge=0, le=60)
    apollo_base_url: str = "https://api.apollo.io"
    hunter_base_url: str = "https://api.hunter.io"
    #: Legacy: no keys for accounts made after 2023.
    clearbit_base_url: str = "https://person.clearbit.com"
    #: The address under which vendors reach this installation, for answers that come later. None: none are asked for.
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$")] | None = None
    #: How long a later answer is waited for before the next provider is asked.
    enrichment_late_seconds: float = Field(default=600.0, gt=0)
    #: Who holds one of these may call as that vendor (Standard Webhooks), or about any job (the last).
    apollo_webhook_secret: WebhookSecret | None = None
    hunter_webhook_secret: WebhookSecret | None = None
    clearbit_webhook_secret: WebhookSecret | None = None
    enrichment_webhook_secret: WebhookSecret | None = None
    #: Calls of vendors from one address.
    enrichment_webhook_limit: str = "6000 per minute"
    #: Days that calls of vendors are kept.
    enrichment_event_days: float = Field(default=30.0, ge=1)

    # --- webhooks ----------------------------------------------------------------------------------
    #: For one attempt, from the look-up of the name to the answer's status.
    webhook_timeout_seconds: float = Field(default=15.0, gt=0, le=30)
    #: Attempts at one endpoint that may be under way at once.
    webhook_concurrency: int = Field(default=16, ge=1, le=256)
    #: An endpoint that has failed for so long, without one success, is switched off.
    webhook_disable_after_days: float = Field(default=5.0, gt=0)
    #: After a rotation the secret before signs as well for this long.
    webhook_rotation_hours: float = Field(default=24.0, ge=0)
    #: Events, deliveries and their log are kept this long.
    webhook_log_days: float = Field(default=30.0, ge=1)
    #: Plain http:// to the outside world.
    webhook_allow_http: bool = False
    #: http:// and https:// to this very machine: for development and tests.
    webhook_allow_loopback: bool = False

    # --- limits ------------------------------------------------------------------------------------
    #: What a new key is given where its provider is not known to allow something else.
    rate_limit_per_second: int = Field(default=10, ge=1, le=100_000)
    rate_limit_per_minute: int = Field(default=100, ge=1, le=100_000)
    rate_limit_per_hour: int = Field(default=1_000, ge=1, le=100_000)
    limit_spacing_margin_ms: int = Field(default=5, ge=0)
    limit_window_margin_ms: int = Field(default=75, ge=0)
    limit_horizon_ms: int = Field(default=2_000, ge=100)
    health_open_seconds: int = Field(default=300, ge=1)

    # --- advice to operators: how many workers a lane wants ------------------------------------------
    #: A lane's backlog should be done within this long, as far as its keys allow.
    drain_target_seconds: float = Field(default=3_600.0, gt=0)
    #: What one call to the provider takes, where a lane does not show it.
    typical_call_seconds: float = Field(default=2.0, gt=0)
    #: Slots (`-c`) of a worker on a lane that has none to look at.
    slots_per_worker: int = Field(default=64, ge=1)

    # --- a dedicated worker (docs: "A worker for one client", "A worker for several clients") ------
    worker_mode: Literal["shared", "dedicated"] = "shared"
    dedicated_client_id: Names = Field(default_factory=list)
    verification_queue: Names = Field(default_factory=list)
    mailtester_api_keys: SecretGroups = Field(default_factory=list)
    mailtester_key_spacings: NumberGroups = Field(default_factory=list)
    #: 0 in one of these two: no such limit. It is kept as NO_LIMIT.
    mailtester_key_daily_limits: NumberGroups = Field(default_factory=list)
    mailtester_key_requests_per_30s: NumberGroups = Field(default_factory=list)

    # --- logs --------------------------------------------------------------------------------------
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"

    @model_validator(mode="before")
    @classmethod
    def _take_milliseconds(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Read the names in milliseconds; where both are given, the one in seconds counts."""
        known = {
            "poll_interval": "dispatch_interval_seconds",
            "health_check_interval": "presence_seconds",
            "graceful_shutdown_timeout": "shutdown_grace_seconds",
        }
        for name, seconds in known.items():
            told = values.get(name)
            if str(told or "").isdigit():
                values.setdefault(seconds, int(str(told)) / 1_000)
        # A heartbeat that was made slower must not make its worker look gone.
        if "health_check_interval" in values and "presence_seconds" in values:
            values.setdefault(
                "presence_timeout_seconds", max(15.0, 3.0 * float(values["presence_seconds"]))
            )
        return values

    @model_validator(mode="after")
    def _beats_in_time(self) -> Self:
        if self.presence_timeout_seconds < 2 * self.presence_seconds:
            raise ValueError(
                "PRESENCE_TIMEOUT_SECONDS must be at least twice PRESENCE_SECONDS, or live workers look gone"
            )
        return self

    @field_validator("dedicated_client_id", "verification_queue", "enrichment_chain", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _parts(value) if isinstance(value, str) else value

    @field_validator("enrichment_costs", mode="before")
    @classmethod
    def _costs(cls, value: object) -> object:
        """Read `apollo=0.04,apollo.phone=0.3`."""
        if not isinstance(value, str):
            return value
        return dict(part.partition("=")[::2] for part in _parts(value))

    @field_validator("enrichment_cache_days", mode="before")
    @classmethod
    def _days(cls, value: object) -> object:
        """Read `email=30,miss=3`; what is not named keeps its default."""
        if not isinstance(value, str):
            return value
        told = dict(part.partition("=")[::2] for part in _parts(value))
        known = cls.model_fields["enrichment_cache_days"].get_default(call_default_factory=True)
        if unknown := set(told) - set(known):
            raise ValueError(
                f"{', '.join(sorted(unknown))}: no such kind; there are {', '.join(known)}"
            )
        return {**known, **told}

    @field_validator(
        "mailtester_api_keys",
        "mailtester_key_spacings",
        "mailtester_key_daily_limits",
        "mailtester_key_requests_per_30s",
        mode="before",
    )
    @classmethod
    def _split_groups(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [_parts(group) for group in value.split(";")] if value.strip() else []

    @field_validator("mailtester_key_daily_limits", "mailtester_key_requests_per_30s")
    @classmethod
    def _zero_is_no_limit(cls, groups: list[list[int]]) -> list[list[int]]:
        return [[number or NO_LIMIT for number in group] for group in groups]

    @field_validator("public_url")
    @classmethod
    def _without_last_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else None

    @property
    def owner_url(self) -> str:
        """The address that migrations use."""
        return self.database_owner_url or self.database_url

    @property
    def limits_url(self) -> str:
        """The Redis that holds provider limits."""
        return self.rate_limit_redis_url or self.redis_url


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings, read once.

    Raises `Misconfigured` with one line per wrong variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc']).upper()}: {in_words(problem)}"
            for problem in error.errors(include_input=False)
        ]
        raise Misconfigured(
            "The environment is not complete. " + "; ".join(lines) + ". See docs/operations.md."
        ) from None
