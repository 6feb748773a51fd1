"""Apollo, simulated: `POST /api/v1/people/match`, and `/api/v1/people/bulk_match` with up to ten `details`.

Shapes as the vendor documents them: `matches[i]` answers `details[i]`, null is a miss; every answer carries the
headers `x-rate-limit-*` and `x-*-requests-left` for the windows that the key has. A telephone number always comes
in a later call, an e-mail where the name says `later-`; nothing is signed. One call counts once, however many
rows it has.
"""

import asyncio
import hashlib
import json
from typing import Any, Final

from aiohttp import web

from sandbox.limits import DAY_MS
from sandbox.people import Fate, Question
from sandbox.state import Answering, State
from sandbox.vendor import Visit, answer_json

PROVIDER: Final = "apollo"
MAX_DETAILS: Final = 10
_WINDOWS: Final = {60_000: "minute", 3_600_000: "hourly", DAY_MS: "24-hour"}
_REFUSALS: Final = {
    "bad_key": 401,
    "invalid": 422,
    "throttled": 429,
    "spent": 402,
    "blocked": 422,
}


class Apollo:
    """The simulated vendor."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes: dict[str, Answering] = {
            "/api/v1/people/match": self.match,
            "/api/v1/people/bulk_match": self.bulk_match,
        }

    async def match(self, request: web.BaseRequest, _query: str) -> web.StreamResponse:
        """Answer about one person."""
        return await self._answer(request, is_bulk=False)

    async def bulk_match(self, request: web.BaseRequest, _query: str) -> web.StreamResponse:
        """Answer about several."""
        return await self._answer(request, is_bulk=True)

    async def _answer(self, request: web.BaseRequest, *, is_bulk: bool) -> web.StreamResponse:
        visit = Visit(self._state, PROVIDER, request.headers.get("x-api-key", ""))
        fields = await _read(request)
        rows = fields.get("details") if is_bulk else [fields]
        questions = [_question(row) for row in rows] if isinstance(rows, list) else []
        is_valid = (
            request.method == "POST"
            and 1 <= len(questions) <= MAX_DETAILS
            and not _lacks_address(fields)
        )
        case = visit.judge(questions, is_valid=is_valid)
        if case.trouble in _REFUSALS:
            return _refuse(visit, _REFUSALS[case.trouble])
        if case.trouble:
            return await visit.misbehave(request, case.trouble)
        paired = list(zip(questions, case.fates, strict=True))
        charged = [question for question, fate in paired if fate.is_found]
        visit.note(200, ",".join(fate.kind for fate in case.fates), charged=charged)
        await asyncio.sleep(case.wait_seconds)
        later = self._call_back(fields, paired)
        people = [_person(question, fate) for question, fate in paired]
        body: dict[str, Any] = {"person": people[0]}
        if is_bulk:
            body = {"matches": people, "credits_consumed": len(charged)}
        return answer_json({**body, **later}, headers=_headers(visit))

    def _call_back(
        self, fields: dict[str, Any], paired: list[tuple[Question, Fate]]
    ) -> dict[str, Any]:
        """Send what comes later, if something was asked for and there is something; return what the answer says."""
        is_asked = fields.get("run_waterfall_email") or fields.get("reveal_phone_number")
        if not is_asked:
            return {}
        rows = (
            _late(question, fate, fields)
            for question, fate in paired
            if fate.kind in {"found", "later"}
        )
        people = [row for row in rows if row is not None]
        request_id = int(_digest(json.dumps(fields, sort_keys=True))[:12], 16)
        if people:
            body = {"status": "success", "request_id": request_id, "people": people}
            self._state.callbacks.send(str(fields["webhook_url"]), json.dumps(body).encode())
        return {"request_id": request_id, "waterfall": {"status": "accepted"}}


async def _read(request: web.BaseRequest) -> dict[str, Any]:
    try:
        fields = json.loads(await request.text() or "{}")
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _question(row: Any) -> Question:
    fields = row if isinstance(row, dict) else {}
    first, _, last = str(fields.get("name", "")).rpartition(" ")
    return Question(
        first_name=str(fields.get("first_name", first)),
        last_name=str(fields.get("last_name", last)),
        company=str(fields.get("organization_name", "")),
        domain=str(fields.get("domain", "")),
        email=str(fields.get("email", "")),
        linkedin_url=str(fields.get("linkedin_url", "")),
    )


def _lacks_address(fields: dict[str, Any]) -> bool:
    is_asked = fields.get("run_waterfall_email") or fields.get("reveal_phone_number")
    return bool(is_asked) and not fields.get("webhook_url")


def _person(question: Question, fate: Fate) -> dict[str, Any] | None:
    if fate.kind in {"miss", "nobody"}:
        return None
    email = None if fate.kind == "later" else question.found_email
    first, last = question.names
    person: dict[str, Any] = {
        "id": _digest(question.subject),
        "first_name": first,
        "last_name": last,
        "name": f"{first} {last}".strip(),
        "linkedin_url": question.linkedin_url or "http://www.linkedin.com/in/somebody",
        "title": "Head of Sales",
        "email": email,
        "email_status": {"found": "verified", "low": "extrapolated"}.get(fate.kind, "unavailable"),
        "extrapolated_email_confidence": 0.2 if fate.kind == "low" else None,
        "twitter_url": None,
        "github_url": None,
        "facebook_url": None,
        "organization": {
            "id": _digest(question.host),
            "name": question.company or question.host.partition(".")[0].title(),
            "primary_domain": question.host,
            "industry": "retail",
            "estimated_num_employees": 42,
            "linkedin_url": "http://www.linkedin.com/company/some-company",
            "country": "Germany",
            "phone": "+49 30 1234567",
        },
    }
    if fate.kind == "odd":
        person |= {"email": 17, "email_status": "verified", "organization": "no object"}
    return person


def _late(question: Question, fate: Fate, fields: dict[str, Any]) -> dict[str, Any] | None:
    """What the first answer had not; None where it had all that was asked for."""
    row: dict[str, Any] = {"id": _digest(question.subject), "status": "success"}
    if fields.get("run_waterfall_email") and fate.kind == "later" and not question.email:
        row["emails"] = [{"email": question.found_email, "email_status": "verified"}]
    if fields.get("reveal_phone_number"):
        row["phone_numbers"] = [{"raw_number": "+49 151 000", "sanitized_number": "+4915112345678"}]
    return row if len(row) > 2 else None


def _headers(visit: Visit) -> dict[str, str]:
    headers = {}
    limits = {length: calls for calls, length in visit.meter.config.windows} if visit.meter else {}
    for length, left in visit.left.items():
        if window := _WINDOWS.get(length):
            daily = visit.meter.config.daily_limit if visit.meter else None
            headers[f"x-rate-limit-{window}"] = str(limits.get(length, daily))
            headers[f"x-{window}-requests-left"] = str(left)
    return headers


def _refuse(visit: Visit, status: int) -> web.Response:
    visit.note(status)
    text = f"Refused: {', '.join(visit.subjects)}"
    return answer_json({"error": text, "message": text}, status, _headers(visit))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
