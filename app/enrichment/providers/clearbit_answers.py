"""Clearbit's words, translated: a person and a company, at once or in a later call.

Source: the vendor's reference of the (legacy) Enrichment API, GET /v2/combined/find; its 202 is answered by a call
`{"id", "status", "type", "body"}` where `id` is the `webhook_id` that was sent and `body` what 200 would have had.
"""

from collections.abc import Mapping
from typing import Final

from app.enrichment.gathering import NO_SENSE, Gathering, section
from app.enrichment.lookup import Answer, Kind, Lookup
from app.enrichment.provider import Outcome
from app.provider_calls import Reply, parse_header, read_object
from app.provider_errors import ProviderError, StillLooking, Unavailable
from app.provider_refusals import refusal_of

NAME: Final = "clearbit"

#: Handles are told without their site.
_SITES: Final = (
    ("linkedin", "linkedin_url", "https://linkedin.com/"),
    ("twitter", "twitter_url", "https://twitter.com/"),
    ("github", "github_url", "https://github.com/"),
    ("facebook", "facebook_url", "https://facebook.com/"),
)


def read_reply(reply: Reply, lookup: Lookup, *, webhook_id: str | None) -> Answer:
    """Return what Clearbit found, or what is pending under `webhook_id`. Raises `ProviderError` for the rest."""
    if reply.status == 200:
        return _read_found(read_object(reply.body), lookup)
    if reply.status == 202:
        if webhook_id is not None:
            return Answer(pending=webhook_id)
        wait = parse_header(reply.retry_after)
        raise StillLooking("The vendor is still looking (HTTP 202).", retry_after=wait)
    if reply.status == 404 and _says_unknown(reply.body):
        return Answer()
    raise refusal_of(reply)


def read_callback(body: bytes, asked: Mapping[str, Lookup]) -> dict[str, Outcome]:
    """Read the later call, which is about one question. Raises `Unavailable` for one that makes no sense."""
    fields = read_object(body)
    name = fields.get("id")
    if not isinstance(name, str):
        raise Unavailable("The call is not the JSON that was expected.")
    return {name: _late(fields, asked[name])} if name in asked else {}


def _late(fields: Mapping[str, object], lookup: Lookup) -> Outcome:
    status = fields.get("status")
    if status == 404:
        return Answer()
    try:
        if status != 200:
            raise Unavailable("The vendor has found no answer, and not that there is none.")
        return _read_found(section(fields, "body"), lookup)
    except ProviderError as error:
        return error


def _says_unknown(body: bytes) -> bool:
    """Tell whether the vendor itself says that it knows nobody; a 404 of anything else is no miss."""
    try:
        error = read_object(body).get("error")
    except ProviderError:
        return False
    return isinstance(error, dict)


def _read_found(fields: Mapping[str, object], lookup: Lookup) -> Answer:
    if "person" not in fields and "company" not in fields:
        raise Unavailable("The answer is not the JSON that was expected.")
    found = Gathering(NAME, lookup)
    if found.wants(Kind.PERSON, Kind.SOCIAL):
        _take_person(found, section(fields, "person"))
    if found.wants(Kind.COMPANY, Kind.PHONE):
        _take_company(found, section(fields, "company"))
    return found.answer()


def _take_person(found: Gathering, person: Mapping[str, object]) -> None:
    if found.wants(Kind.PERSON):
        name = section(person, "name")
        found.take("first_name", name.get("givenName"))
        found.take("last_name", name.get("familyName"))
        found.take("full_name", name.get("fullName"))
        found.take("location", person.get("location"))
        found.take("position", section(person, "employment").get("title"))
    if found.wants(Kind.SOCIAL):
        for theirs, ours, site in _SITES:
            found.take(ours, _address(section(person, theirs).get("handle"), site))


def _take_company(found: Gathering, company: Mapping[str, object]) -> None:
    found.take("company_phone", company.get("phone"))
    if found.wants(Kind.COMPANY):
        found.take("company", company.get("name"))
        found.take("domain", company.get("domain"))
        found.take("company_industry", section(company, "category").get("industry"))
        found.take("company_size", section(company, "metrics").get("employees"))
        found.take("company_country", section(company, "geo").get("country"))
        handle = section(company, "linkedin").get("handle")
        found.take("company_linkedin_url", _address(handle, "https://linkedin.com/"))


def _address(handle: object, site: str) -> str | None:
    if handle is None or handle == "":
        return None
    if not isinstance(handle, str):
        raise Unavailable(NO_SENSE)
    return site + handle.strip().lstrip("/@")
