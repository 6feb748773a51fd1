"""Hunter, simulated: `GET /v2/email-finder?domain=|company=&first_name=&last_name=|full_name=`.

Shapes as the vendor documents them: `{"data": …, "meta": …}`, and `{"errors": [{"id", "code", "details"}]}`. Too
fast is 403, a used-up plan 429. `details` quotes the question on purpose: it must not come out anywhere.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

from sandbox.mailtester import parse_query
from sandbox.people import Question
from sandbox.state import Answering, State
from sandbox.vendor import Visit, answer_json

PROVIDER: Final = "hunter"
#: Trouble of a whole call -> status and code.
REFUSALS: Final = {
    "bad_key": (401, "authentication_failed"),
    "invalid": (400, "wrong_params"),
    "throttled": (403, "too_many_requests"),
    "spent": (429, "too_many_requests"),
    "blocked": (451, "claimed_email"),
}


class Hunter:
    """The simulated vendor."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes: dict[str, Answering] = {"/v2/email-finder": self.find}

    async def find(self, request: web.BaseRequest, query: str) -> web.StreamResponse:
        """Answer one question of the Email Finder."""
        fields = parse_query(query)
        visit = Visit(self._state, PROVIDER, key_of(request, fields))
        question = _question(fields)
        is_valid = bool(
            (question.domain or question.company) and question.first_name and question.last_name
        )
        case = visit.judge([question], is_valid=is_valid)
        if case.trouble in REFUSALS:
            return refuse(visit, *REFUSALS[case.trouble])
        if case.trouble:
            return await visit.misbehave(request, case.trouble)
        (fate,) = case.fates
        if fate.kind == "nobody":
            return refuse(visit, 404, "not_found")
        status = 202 if fate.kind == "later" else 200
        is_found = fate.is_found and status == 200
        visit.note(status, fate.kind, charged=[question] if is_found else [])
        await asyncio.sleep(case.wait_seconds)
        return answer_json(_body(question, fate.kind if status == 200 else "miss"), status)


def key_of(request: web.BaseRequest, fields: dict[str, str]) -> str:
    """Return the key of a call, in whichever of the three ways it came."""
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return request.headers.get("X-API-KEY") or fields.get("api_key", "") or bearer


def _question(fields: dict[str, str]) -> Question:
    first, _, last = fields.get("full_name", "").rpartition(" ")
    return Question(
        first_name=fields.get("first_name", first),
        last_name=fields.get("last_name", last),
        company=fields.get("company", ""),
        domain=fields.get("domain", ""),
    )


def _body(question: Question, kind: str) -> dict[str, Any]:
    has_email = kind in {"found", "low"}
    email = question.found_email if has_email else None
    data: dict[str, Any] = {
        "first_name": question.first_name,
        "last_name": question.last_name,
        "email": email,
        "score": (97 if kind == "found" else 20) if has_email else None,
        "domain": question.host,
        "accept_all": False,
        "position": "Head of Sales" if has_email else None,
        "company": question.company or question.host.partition(".")[0].title(),
        "twitter": None,
        "linkedin_url": "https://www.linkedin.com/in/somebody" if has_email else None,
        "phone_number": None,
        "verification": {"date": "2026-01-31", "status": "valid" if kind == "found" else "unknown"},
        "sources": [],
    }
    if kind == "odd":
        data |= {"email": ["not", "a", "text"], "score": "high"}
    return {"data": data, "meta": {"params": {"domain": question.domain or None}}}


def refuse(visit: Visit, status: int, word: str) -> web.Response:
    """Refuse a call in the vendor's form."""
    visit.note(status, word)
    details = f"Refused: {', '.join(visit.subjects)}"
    return answer_json({"errors": [{"id": word, "code": status, "details": details}]}, status)
