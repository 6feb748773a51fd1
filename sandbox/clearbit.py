"""Clearbit's legacy API, simulated: `GET /v2/combined/find?email=&webhook_url=&webhook_id=`, the key as Basic user.

Shapes as the vendor documents them: `{"person": …, "company": …}`, `{"error": {"type", "message"}}`. `later-` is 202
and then a call to `webhook_url`, signed with HMAC-SHA1 over its body under the key without `sk_`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any, Final

from aiohttp import web

from sandbox.mailtester import parse_query
from sandbox.people import Question
from sandbox.state import Answering, State
from sandbox.vendor import Visit, answer_json

PROVIDER: Final = "clearbit"
_REFUSALS: Final = {
    "bad_key": (401, "auth_invalid"),
    "invalid": (422, "email_invalid"),
    "throttled": (429, "rate_limit"),
    "spent": (402, "over_quota"),
    "blocked": (422, "email_invalid"),
}


class Clearbit:
    """The simulated vendor."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes: dict[str, Answering] = {"/v2/combined/find": self.find}

    async def find(self, request: web.BaseRequest, query: str) -> web.StreamResponse:
        """Answer about one e-mail."""
        key = _key(request.headers.get("Authorization", ""))
        visit = Visit(self._state, PROVIDER, key)
        fields = parse_query(query)
        question = Question(email=fields.get("email", ""))
        case = visit.judge([question], is_valid="@" in question.email)
        if case.trouble in _REFUSALS:
            return _refuse(visit, *_REFUSALS[case.trouble])
        if case.trouble:
            return await visit.misbehave(request, case.trouble)
        (fate,) = case.fates
        if fate.kind in {"miss", "nobody"}:
            return _refuse(visit, 404, "unknown_record")
        visit.note(202 if fate.kind == "later" else 200, fate.kind, charged=[question])
        await asyncio.sleep(case.wait_seconds)
        if fate.kind == "later":
            self._call_back(fields, key, _body(question, "found"))
            return answer_json({"error": {"type": "queued", "message": "Lookup queued"}}, 202)
        return answer_json(_body(question, fate.kind))

    def _call_back(self, fields: dict[str, str], key: str, found: dict[str, Any]) -> None:
        if not (url := fields.get("webhook_url")):
            return
        call = {
            "id": fields.get("webhook_id"),
            "status": 200,
            "type": "person_company",
            "body": found,
        }
        body = json.dumps(call).encode()
        digest = hmac.new(key.removeprefix("sk_").encode(), body, hashlib.sha1).hexdigest()
        self._state.callbacks.send(url, body, {"X-Request-Signature": f"sha1={digest}"})


def _key(authorization: str) -> str:
    kind, _, value = authorization.partition(" ")
    if kind != "Basic":
        return value
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except ValueError:
        return ""


def _body(question: Question, kind: str) -> dict[str, Any]:
    name = question.email.partition("@")[0].title()
    return {
        "person": {
            "id": "00000000-0000-4000-8000-000000000001",
            "name": {"fullName": f"Ann {name}", "givenName": "Ann", "familyName": name},
            "email": question.email,
            "location": "Berlin, DE",
            "employment": {"domain": question.host, "name": "Shop", "title": "Head of Sales"},
            "linkedin": {"handle": "in/somebody"},
            "twitter": {"handle": None},
            "github": {"handle": 7 if kind == "odd" else None},
            "facebook": {"handle": None},
        },
        "company": {
            "name": question.host.partition(".")[0].title(),
            "domain": question.host,
            "phone": "+49 30 1234567",
            "category": {"industry": "Retail"},
            "metrics": {"employees": 42, "employeesRange": "11-50"},
            "geo": {"country": "Germany"},
            "linkedin": {"handle": "company/some-company"},
        },
    }


def _refuse(visit: Visit, status: int, word: str) -> web.Response:
    visit.note(status, word)
    text = f"Refused: {', '.join(visit.subjects)}"
    return answer_json({"error": {"type": word, "message": text}}, status)
