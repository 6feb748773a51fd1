"""Hunter's Email Verifier, simulated: `GET /v2/email-verifier?email=`.

Shapes as the vendor documents them. The start of the local part forces a status:

    ok-       valid            webmail-     webmail, and the mailbox is there
    ko-       invalid          shy-         webmail, and its server does not tell
    catchall- accept_all       disposable-  disposable
    unknown-  unknown

The words of `people.py` force trouble, as with the finder: `later2-` is 202 twice, `blocked-` 451, `throttled-` 403,
`spent-` 429. Any other address: about 70 % valid, 10 % accept_all, 20 % invalid.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

from sandbox.hunter import PROVIDER, REFUSALS, key_of, refuse
from sandbox.mailtester import parse_query
from sandbox.people import Question
from sandbox.state import Answering, State
from sandbox.vendor import Visit, answer_json

_FORCED: Final = {
    "ok": "valid",
    "ko": "invalid",
    "catchall": "accept_all",
    "webmail": "webmail",
    "shy": "webmail",
    "disposable": "disposable",
    "unknown": "unknown",
}
_BY_FATE: Final = {"found": "valid", "low": "accept_all", "miss": "invalid", "nobody": "unknown"}
_SCORES: Final = {"valid": 97, "accept_all": 60, "webmail": 90, "unknown": 50}


class HunterVerifier:
    """The simulated vendor's other half; its keys are the finder's."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes: dict[str, Answering] = {"/v2/email-verifier": self.verify}

    async def verify(self, request: web.BaseRequest, query: str) -> web.StreamResponse:
        """Answer about one address."""
        fields = parse_query(query)
        visit = Visit(self._state, PROVIDER, key_of(request, fields))
        question = Question(email=fields.get("email", ""))
        case = visit.judge([question], is_valid="@" in question.email)
        if case.trouble in REFUSALS:
            return refuse(visit, *REFUSALS[case.trouble])
        if case.trouble:
            return await visit.misbehave(request, case.trouble)
        (fate,) = case.fates
        if fate.kind == "later":
            visit.note(202, "later")
            return answer_json({"data": {}, "meta": {}}, 202)
        word = question.email.lower().partition("-")[0]
        status = _FORCED.get(word) or _BY_FATE.get(fate.kind, "valid")
        visit.note(200, status, charged=[question])
        await asyncio.sleep(case.wait_seconds)
        return answer_json(_body(question.email, status, word, is_odd=fate.kind == "odd"))


def _body(email: str, status: str, word: str, *, is_odd: bool) -> dict[str, Any]:
    data = {
        "status": ["valid"] if is_odd else status,
        "result": "deliverable" if status == "valid" else "risky",
        "score": _SCORES.get(status, 0),
        "email": email,
        "regexp": True,
        "gibberish": False,
        "disposable": status == "disposable",
        "webmail": status == "webmail",
        "mx_records": True,
        "smtp_server": True,
        "smtp_check": status == "valid" or word == "webmail",
        "accept_all": status == "accept_all",
        "block": False,
        "sources": [],
    }
    return {"data": data, "meta": {"params": {"email": email}}}
