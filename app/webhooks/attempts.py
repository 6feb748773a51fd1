"""One attempt at one delivery, from the due row to the outcome that is recorded."""

from datetime import UTC, datetime

from app.webhooks.deliveries import Due, Outcome, Target
from app.webhooks.schedule import Verdict, judge
from app.webhooks.sending import send
from app.webhooks.signing import Signer
from app.webhooks.tools import Tools


async def attempt(
    tools: Tools, target: Target, signer: Signer, due: Due
) -> tuple[Outcome, Verdict]:
    """Sign, send and judge; the outcome's headers are without the signature. Raises nothing of the receiver's."""
    at = datetime.now(UTC)
    headers = signer.headers(due.message_id, due.body, at)
    answer = await send(
        tools.session,
        tools.rule,
        target.url,
        due.body,
        headers,
        seconds=tools.settings.webhook_timeout_seconds,
    )
    number = due.attempts + 1
    verdict = judge(answer, number)
    del headers["webhook-signature"]
    outcome = Outcome(
        id=due.id,
        number=number,
        status=verdict.status,
        wait=verdict.wait,
        at=at.isoformat(),
        url=target.url,
        headers=headers,
        answer_status=answer.status,
        answer=answer.body,
        ms=answer.ms,
        error=verdict.error,
        gone=verdict.is_gone,
    )
    return outcome, verdict
