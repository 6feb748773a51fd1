"""Lanes and keys as the installation's operator sees them."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import OPERATOR, PINE, QUAY
from tests.e2e.visitor import PATIENCE_MS, Visitor


def test_a_lane_that_nobody_serves_stands_out(
    make_visitor: MakeVisitor, make_list: Callable[..., Path]
) -> None:
    client, operator = make_visitor(), make_visitor()
    client.visit(PINE)
    client.upload(make_list("ok-a@alarm.example"))
    operator.sign_in(OPERATOR)
    lanes = operator.page.get_by_role("region", name="Lanes")
    alone = lanes.get_by_role("row").filter(has_text=str(PINE.queue))
    expect(alone).to_contain_text("no worker", timeout=PATIENCE_MS)
    expect(alone).to_have_class("alarm", timeout=PATIENCE_MS)
    expect(alone).to_contain_text(PINE.slug)
    note = operator.page.locator(".note.bad").filter(has_text=str(PINE.queue))
    expect(note).to_contain_text(f"clients rollback {PINE.slug}", timeout=PATIENCE_MS)
    shared = lanes.get_by_role("row").filter(
        has=operator.page.get_by_text("verification-queue", exact=True)
    )
    expect(shared).to_contain_text("16 slots")


def test_keys_are_shown_by_hint_never_whole(visitor: Visitor) -> None:
    visitor.sign_in(OPERATOR)
    visitor.go("/keys")
    rows = visitor.page.get_by_role("region", name="Keys").get_by_role("row")
    expect(rows.filter(has_text="platform")).to_contain_text("…form")
    expect(rows.filter(has_text=QUAY.slug)).to_contain_text("of 5")
    assert "secret-of" not in visitor.page.content()
