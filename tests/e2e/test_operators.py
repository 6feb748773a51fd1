"""Lanes and keys as the installation's operator sees them."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import DAILY_LIMIT, OPERATOR, PINE, QUAY
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
    platform = rows.filter(has_text="platform").filter(has_text="mailtester")
    expect(platform).to_contain_text("…form")
    expect(rows.filter(has_text=QUAY.slug)).to_contain_text("of 5")
    assert "secret-of" not in visitor.page.content()


def test_a_client_whose_keys_are_spent_is_shown_as_held_everywhere(
    make_visitor: MakeVisitor, make_list: Callable[..., Path]
) -> None:
    client, operator = make_visitor(), make_visitor()
    client.visit(QUAY)
    client.upload(make_list(*(f"ok-{n}@spent.example" for n in range(2 * DAILY_LIMIT))))
    operator.sign_in(OPERATOR)
    page = operator.page
    operator.go(f"/clients/{QUAY.slug}")
    expect(page.locator(".note.warn").filter(has_text="Held.")).to_contain_text(
        "day is used up; goes on at", timeout=PATIENCE_MS
    )
    for path, region in (("/clients", "Clients"), ("/lanes", "Lanes")):
        operator.go(path)
        row = page.get_by_role("region", name=region).get_by_role("row").filter(has_text=QUAY.slug)
        expect(row).to_contain_text("00:00 UTC. Held since")
        expect(row).to_contain_text("--daily-limit N")


def test_on_a_phone_no_figure_of_a_lane_is_out_of_sight(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(viewport={"width": 390, "height": 844})
    visitor.sign_in(OPERATOR)
    for path, region in (("/lanes", "Lanes"), ("/clients", "Clients"), ("/keys", "Keys")):
        visitor.go(path)
        table = visitor.page.get_by_role("region", name=region, exact=True)
        assert table.evaluate("sheet => sheet.scrollWidth <= sheet.clientWidth"), path
        for cell in table.get_by_role("row").nth(1).locator("td[data-label]").all():
            box = cell.bounding_box()
            assert box
            assert box["x"] + box["width"] <= 390


def test_at_a_desk_a_keys_buttons_stand_in_one_line(visitor: Visitor) -> None:
    visitor.page.set_viewport_size({"width": 1280, "height": 900})
    visitor.sign_in(OPERATOR)
    visitor.go("/keys")
    row = visitor.page.get_by_role("row").filter(has_text="platform")
    names = ("Test now", "Edit", "Switch off", "Remove")
    tops = {
        (box := row.locator(".row-acts").get_by_text(name).first.bounding_box()) and round(box["y"])
        for name in names
    }
    assert len(tops) == 1


def test_the_search_for_clients_begins_where_the_page_does(visitor: Visitor) -> None:
    visitor.sign_in(OPERATOR)
    visitor.go("/clients")
    heading = visitor.page.get_by_role("heading", level=1).bounding_box()
    search = visitor.page.get_by_role("searchbox").bounding_box()
    assert heading
    assert search
    assert search["x"] == heading["x"]
    assert search["y"] - heading["y"] < 150
