"""How often one may ask: Flask-Limiter over Redis, by person where known, else by address.

Without Redis the limits go on in this process's memory (looser: each process counts for itself) and a metric counts
the requests concerned. Sign-in has limits of its own, by address and by e-mail, so that neither many addresses against
one person nor one address against many gets far. What one address may use up of an e-mail's limit is a small part of
it: nobody can lock somebody else out from one place. A test of a key is a call that costs money and keeps a thread for
seconds: it has a limit of its own, by person.
"""

import hashlib
import ipaddress
import math
import time
from functools import lru_cache
from uuid import UUID

import structlog
from flask import Flask, Response, g, request, session
from flask_limiter import Limiter
from limits import RateLimitItem, parse_many

from app.accounts.api_tokens import PREFIX
from app.accounts.tokens import read_token
from app.accounts.users import normalise_email
from app.errors import TooManyRequests, Unauthenticated
from app.http import callers
from app.http.access import LIMITS_WITHOUT_REDIS
from app.http.counting import count_in_turn, count_up
from app.settings import Settings, get_settings

log = structlog.get_logger(__name__)
KEY_PREFIX = "laneway:http"
#: A request must not hang on a Redis that went silent; after this its limit is counted in memory.
REDIS_TIMEOUT_SECONDS = 0.5


def address() -> str:
    """Return the address to count for: of IPv6 the network of 64 bits, which one person has for themselves."""
    given = str(request.remote_addr)
    try:
        found = ipaddress.ip_address(given.partition("%")[0])
    except ValueError:
        return given
    if isinstance(found, ipaddress.IPv4Address):
        return given
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def caller() -> str:
    """Return whom to count for: the person a valid token or session names, else the address.

    The person is not looked up here; the signature is proof enough to count.
    """
    # Read as it is where it lets in: one token counts once, however it is sent.
    token = callers.token_of(request.headers.get("Authorization", ""))
    if token.startswith(PREFIX):
        # Whether it is good the database says later; one that is not counts for its address as well (`check_bad_token`).
        return f"token:{hashlib.sha256(token.encode()).hexdigest()[:32]}"
    if token:
        try:
            return f"user:{read_token(token).user_id}"
        except Unauthenticated:
            return f"address:{address()}"
    named = str(session.get("_user_id", "")).partition(":")[0]
    return f"user:{named}" if named else f"address:{address()}"


limiter = Limiter(
    key_func=caller,
    default_limits=[lambda: get_settings().api_limit],
    in_memory_fallback_enabled=True,
    swallow_errors=True,
)
#: Tests of keys by one person, over the API and the pages together.
KEY_TEST_LIMIT = "10 per minute"
#: Tokens that are not good, from one address.
BAD_TOKEN_LIMIT = "60 per minute"  # noqa: S105 - a limit
#: What the log says where no store can count.
_NOT_LIMITED = {
    "login": "login_not_limited",
    "key_test": "key_test_not_limited",
    "bad_token": "bad_token_not_limited",
}
#: Vendors call for all clients from few addresses.
webhook_limit = limiter.limit(
    lambda: get_settings().enrichment_webhook_limit, key_func=lambda: f"address:{address()}"
)
upload_limit = limiter.limit(lambda: get_settings().upload_limit, override_defaults=False)


def check_login(email: str) -> None:
    """Count an attempt to sign in. Raises `TooManyRequests` with the seconds to wait."""
    name = hashlib.sha256(normalise_email(email).encode()).hexdigest()[:32]
    settings = get_settings()
    # In this order: an attempt that the address may not make any more does not count for the e-mail.
    said = "Too many attempts to sign in. Wait a little and try again."
    _count(settings.login_limit, "login", "address", address(), said=said)
    _count(settings.login_email_limit, "login", "email", name, said=said)


def check_key_test(person: UUID) -> None:
    """Count a test of a key by a person. Raises `TooManyRequests` with the seconds to wait."""
    said = f"A person may test keys {KEY_TEST_LIMIT}. Wait a little and try again."
    _count(KEY_TEST_LIMIT, "key_test", str(person), said=said)


def check_bad_token() -> None:
    """Count a token that is not good. Raises `TooManyRequests` with the seconds to wait."""
    said = "Too many tokens that are not good. Wait a little."
    _count(BAD_TOKEN_LIMIT, "bad_token", address(), said=said)


def count_tenant(tenant_id: UUID | None) -> None:
    """Count a request of a client's people and programs together, and note how it stands for the answer's headers.

    Raises `TooManyRequests` with the seconds to wait.
    """
    if g.get("counted_tenant") == tenant_id:
        return
    # Of whom the caller was another client's until just now: that one's is not theirs to be told.
    g.pop("rate_limit", None)
    if tenant_id is None or not limiter.enabled:
        return
    limit = _parse(get_settings().tenant_limit)[0]
    try:
        count, seconds = count_up(limiter.limiter, limit, "tenant", str(tenant_id))
    except Exception as error:  # noqa: BLE001 - whatever the store raises: a limit that can't be counted lets in
        log.warning("tenant_not_limited", error=type(error).__name__)
        return
    g.counted_tenant = tenant_id
    _check_tenant(limit, count, seconds)


def _count_remembered() -> None:
    """Count for the person and for the client in one exchange, where the client is known before anybody is looked up.

    The same counters as otherwise, in the same order: what the person may not make any more does not count for the client. While
    Redis is away Flask-Limiter does it, which counts in memory. Raises `TooManyRequests`.
    """
    known = callers.of_request()
    tenant_id = known.account.tenant_id if known else None
    if (
        known is None
        or tenant_id is None
        or not limiter.enabled
        or limiter.limiter.storage is not limiter.storage
    ):
        return
    own, shared = _parse(get_settings().api_limit), _parse(get_settings().tenant_limit)[0]
    names = (KEY_PREFIX, caller(), str(request.endpoint))
    try:
        counts = count_in_turn(
            limiter.limiter,
            [*((limit, names) for limit in own), (shared, ("tenant", str(tenant_id)))],
        )
    except Exception as error:  # noqa: BLE001 - whatever the store raises: it is counted the usual way, which says so
        log.debug("not_counted_together", error=type(error).__name__)
        return
    g.is_counted = True
    for limit, (count, seconds) in zip(own, counts, strict=False):
        if count > limit.amount:
            raise TooManyRequests(f"The limit is {limit}.", retry_after=seconds)
    g.counted_tenant = tenant_id
    callers.note_unconfirmed(known)
    _check_tenant(shared, *counts[-1])


@limiter.request_filter
def _is_counted() -> bool:
    return bool(g.get("is_counted"))


@lru_cache(maxsize=32)
def _parse(text: str) -> list[RateLimitItem]:
    """Return the limits of a setting, the narrowest first, as Flask-Limiter takes them."""
    return sorted(parse_many(text))


def _check_tenant(limit: RateLimitItem, count: int, seconds: int) -> None:
    g.rate_limit = (limit.amount, limit.get_expiry(), max(0, limit.amount - count), seconds)
    if count > limit.amount:
        said = f"This client may make {limit.amount:,} requests in {limit.get_expiry()} s. Wait a little."
        raise TooManyRequests(said, retry_after=seconds)


def _tell_limit(response: Response) -> Response:
    """Say how the client's limit stands (draft-ietf-httpapi-ratelimit-headers)."""
    if (told := g.get("rate_limit")) is not None:
        amount, window, remaining, seconds = told
        response.headers["RateLimit-Policy"] = f'"client";q={amount};w={window}'
        response.headers["RateLimit"] = f'"client";r={remaining};t={seconds}'
    return response


def _count(limits: str, *names: str, said: str) -> None:
    for limit in parse_many(limits):
        try:
            if limiter.limiter.hit(limit, *names):
                continue
            ends = limiter.limiter.get_window_stats(limit, *names).reset_time
        except Exception as error:  # noqa: BLE001 - whatever the store raises: people must be able to sign in
            log.warning(_NOT_LIMITED[names[0]], error=type(error).__name__)
            continue
        raise TooManyRequests(said, retry_after=max(1, math.ceil(ends - time.time())))


def _count_fallback(response: Response) -> Response:
    if limiter.enabled and limiter.limiter.storage is not limiter.storage:
        LIMITS_WITHOUT_REDIS.inc()
    return response


def register(app: Flask, settings: Settings) -> None:
    """Put the limits in front of every route but those that machines ask."""
    app.config.update(
        RATELIMIT_STORAGE_URI=settings.redis_url,
        RATELIMIT_STORAGE_OPTIONS={
            "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
            "socket_timeout": REDIS_TIMEOUT_SECONDS,
        },
        RATELIMIT_HEADERS_ENABLED=False,
        RATELIMIT_KEY_PREFIX=KEY_PREFIX,
    )
    app.before_request(_count_remembered)
    limiter.init_app(app)
    app.after_request(_count_fallback)
    app.after_request(_tell_limit)
