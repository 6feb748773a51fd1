"""What a client's settings may be: said before the database is asked, in words for the person who set them."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from app.enrichment.providers import check_chain
from app.errors import InvalidInput
from app.plain_text import require_plain

KeyPolicy = Literal["own_then_platform", "own", "platform"]
KEY_POLICIES: tuple[KeyPolicy, ...] = get_args(KeyPolicy)
#: Shorter than this a worker's restart would already move the work.
SHORTEST_FALLBACK_SECONDS = 30


def check_settings(settings: Mapping[str, object]) -> None:
    """Raise `InvalidInput` for a setting that does not exist or a value that it can't have."""
    for name, value in settings.items():
        rule = _RULES.get(name)
        if rule is None:
            raise InvalidInput(f"{name} is no setting; settings are {', '.join(_RULES)}.")
        rule(value)


def _check_name(value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput("A client needs a name.")
    require_plain("A name", value)


def _check_policy(value: object) -> None:
    if value not in KEY_POLICIES:
        raise InvalidInput(f"A key policy is one of {', '.join(KEY_POLICIES)}.")


def _check_chain(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise InvalidInput("A chain is a list of the names of providers.")
    check_chain(value)


def _check_order(value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidInput("Whether the chain is asked cheapest first is true or false.")


def _whole(what: str, lowest: int, highest: int, *, may_be_empty: bool) -> Callable[[object], None]:
    def check(value: object) -> None:
        if value is None and may_be_empty:
            return
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            top = f"to {highest}" if highest < _LARGEST else "or more"
            raise InvalidInput(f"{what} is a whole number, {lowest} {top}.")

    return check


_LARGEST = 2_147_483_647
_RULES: dict[str, Callable[[object], None]] = {
    "name": _check_name,
    "weight": _whole("A weight", 1, 100, may_be_empty=False),
    "max_in_flight": _whole("The chunks in flight", 1, _LARGEST, may_be_empty=True),
    "max_in_flight_per_job": _whole(
        "The chunks of one job in flight", 1, _LARGEST, may_be_empty=True
    ),
    "key_policy": _check_policy,
    "fallback_after_seconds": _whole(
        "The seconds after which work falls back",
        SHORTEST_FALLBACK_SECONDS,
        _LARGEST,
        may_be_empty=True,
    ),
    "enrichment_chain": _check_chain,
    "enrichment_cheapest_first": _check_order,
}
