"""From the job's end to the receiver, on the real database and over real HTTP."""

from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.factories import make_job, make_tenant, owner_sql
from tests.integration.webhook_world import (
    Receiver,
    add,
    deliver,
    deliveries,
    end_job,
    run_receiver,
)

pytestmark = pytest.mark.usefixtures("module_environment", "nothing_left")


@pytest.fixture
def nothing_left(module_environment: dict[str, str]) -> None:
    owner_sql("TRUNCATE tenants CASCADE")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


def test_a_completed_job_is_told_and_signed(receiver: Receiver) -> None:
    tenant = make_tenant()
    endpoint, secret = add(tenant, receiver.url)
    job = make_job(tenant, 3, title="leads.csv")
    end_job(job)
    assert deliver() == ["done"]
    (got,) = receiver.received
    event = Webhook(secret).verify(got.body, got.headers)
    assert event["type"] == "job.completed"
    assert event["data"]["job"]["id"] == str(job)
    assert event["data"]["job"]["total"] == 3
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(got.body + " ", got.headers)
    (delivery,) = deliveries(endpoint)
    assert (delivery["status"], delivery["attempts"], delivery["answer_status"]) == (
        "delivered",
        1,
        200,
    )
