"""Operators and clients: onboarding while a list runs, rolling back, keys, and that every page is for everybody's eyes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import ELM, MAPLE, OAK, OPERATOR, PINE, QUAY, SPACING_MS, Product
from tests.e2e.test_accessibility import CHECKS, DESK, PHONE
from tests.e2e.visitor import PATIENCE_MS, Visitor

QUEUE = "verification-queue:client-elm"
KEYS = ("secret-of-elm-3f7a", "secret-of-elm-9c1d")


def fill_in(page: Page, *, keys: tuple[str, ...] = KEYS, person: str = ELM.email) -> None:
    """Fill in the form of the onboarding, with keys that can be called often."""
    page.get_by_label("Person").fill(person)
    page.get_by_role("textbox", name="Keys").fill("\n".join(keys))
    page.get_by_label("Milliseconds between two calls").fill(str(SPACING_MS))
    page.get_by_label("Calls in 30 seconds").fill("")


def row_of(page: Page, key: str) -> Locator:
    """The row of a client's page that shows a key."""
    keys = page.get_by_role("region", name="Keys of this client")
    return keys.get_by_role("row").filter(has_text=f"…{key[-4:]}")


def ask_and_do(page: Page, link: str, button: str) -> None:
    """Follow a link to the page that asks first, and say yes there."""
    page.get_by_role("link", name=link, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("?")
    page.get_by_role("button", name=button, exact=True).click()


def test_a_client_is_onboarded_rolled_back_and_put_back_while_its_list_runs(
    make_visitor: MakeVisitor, make_list: Callable[..., Path], product: Product
) -> None:
    for secret in KEYS:
        product.sandbox.put_keys({"key": secret})
    client, operator = make_visitor(), make_visitor()
    client.visit(ELM)
    # Longer than everything below can take: most of it waits at each change of lanes.
    client.upload(make_list(*(f"ok-{n}@elm-leads.example" for n in range(8000))))
    facts = client.page.locator("#facts")
    expect(facts).to_contain_text("Shared lane", timeout=PATIENCE_MS)
    expect(client.page.locator('[data-field="done"]')).not_to_have_text("0", timeout=PATIENCE_MS)

    page = operator.page
    operator.sign_in(OPERATOR)
    page.get_by_role("link", name="Clients").click()
    page.get_by_role("link", name="Onboard a client").click()
    fill_in(page)
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_role("heading", name="Review: Elm")).to_be_visible()
    expect(page.get_by_label("Queue")).to_have_value(QUEUE)
    assert not [secret for secret in KEYS if secret in page.content()]
    page.get_by_label("Key …9c1d: calls a day").fill("100000")
    page.get_by_role("button", name="Onboard Elm").click()
    expect(page.get_by_role("heading", name="Elm has a lane of its own")).to_be_visible()
    expect(page.get_by_role("region", name="Environment")).to_contain_text(
        f"VERIFICATION_QUEUE={QUEUE}"
    )
    expect(page.get_by_role("region", name="Message to the client")).to_contain_text("2 keys")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy Message to the client").click()
    expect(page.locator("#said")).to_have_text("Copied.")
    assert "2 keys" in page.evaluate("navigator.clipboard.readText()")
    assert not [secret for secret in KEYS if secret in page.content()]
    expect(facts).to_contain_text(QUEUE, timeout=PATIENCE_MS)

    page.get_by_role("link", name="Go to Elm").click()
    expect(row_of(page, KEYS[1])).to_contain_text("of 100,000")
    expect(page.locator("#now")).to_contain_text("No worker.", timeout=PATIENCE_MS)
    ask_and_do(page, "Roll back", "Roll back")
    expect(page.get_by_role("status").first).to_contain_text("goes to verification-queue;")
    expect(page.locator("#now")).to_contain_text("Rolled back")
    expect(facts).to_contain_text("Shared lane", timeout=PATIENCE_MS)
    ask_and_do(page, "Put back", "Put back")
    expect(page.get_by_role("status").first).to_contain_text(f"goes to {QUEUE};")
    ask_and_do(page, "Roll back", "Roll back")
    done = client.page.locator('[data-field="done"]')
    expect(done).not_to_have_text(done.inner_text(), timeout=PATIENCE_MS)
    client.page.get_by_role("button", name="Cancel job").click()
    client.page.get_by_role("button", name="Cancel the job").click()
    client.wait_for_status("Cancelled")

    changes = page.get_by_role("region", name="History of this client").get_by_role("row")
    lanes = changes.filter(has_text="→")
    expect(lanes).to_have_count(4)
    expect(lanes.first).to_contain_text(OPERATOR)
    ask_and_do(page, "Remove the lane", "Remove the lane")
    expect(page.locator("#now")).to_contain_text("Shared lane")


def test_onboarding_needs_no_script_and_says_what_is_wrong(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(java_script_enabled=False)
    visitor.sign_in(OPERATOR)
    visitor.go("/onboard")
    page = visitor.page
    wrong = page.get_by_role("alert")
    fill_in(page, person="nobody@nowhere.example")
    page.get_by_role("button", name="Review").click()
    expect(wrong).to_contain_text("There is no user nobody@nowhere.example")
    # What was pasted does not come back; everything else does.
    expect(page.get_by_role("textbox", name="Keys")).to_have_value("")
    expect(page.get_by_label("Milliseconds between two calls")).to_have_value(str(SPACING_MS))
    fill_in(page, keys=("short",), person=OAK.email)
    page.get_by_role("button", name="Review").click()
    expect(wrong).to_contain_text("Key of key 1")
    fill_in(page, keys=(), person=OAK.email)
    page.get_by_label("Queue").fill(str(PINE.queue))
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("No keys.")).to_be_visible()
    page.get_by_role("button", name="Onboard Oak").click()
    expect(wrong).to_contain_text("pine")
    page.get_by_role("link", name="Clients").first.click()
    expect(page.get_by_role("row").filter(has_text="Oak")).to_contain_text("Shared lane")


def test_a_key_is_added_tested_rests_is_reset_changed_and_removed(
    visitor: Visitor, product: Product
) -> None:
    good, bad = "secret-of-elm-good", "secret-of-elm-lost"
    product.sandbox.put_keys({"key": good})
    page = visitor.page
    visitor.sign_in(OPERATOR)
    visitor.go(f"/clients/{ELM.slug}")
    page.get_by_role("link", name="Add keys").click()
    page.get_by_role("textbox", name="Keys").fill(f"{good}\n{bad}")
    page.get_by_role("button", name="Add the keys").click()
    expect(page.get_by_role("status").first).to_contain_text("2 keys added.")

    row_of(page, good).get_by_role("button", name="Test now").click()
    expect(page.get_by_role("status").first).to_contain_text("The key …good works")
    row_of(page, bad).get_by_role("button", name="Test now").click()
    expect(page.get_by_role("status").first).to_contain_text("…lost did not pass the test")
    expect(row_of(page, bad)).to_contain_text("Resting")
    row_of(page, bad).get_by_role("button", name="Reset").click()
    expect(row_of(page, bad)).to_contain_text("Healthy")

    row_of(page, bad).get_by_role("link", name="Switch off").click()
    page.get_by_role("button", name="Switch it off").click()
    expect(row_of(page, bad)).to_contain_text("Switched off")
    expect(row_of(page, bad)).to_contain_text("not in force")
    row_of(page, bad).get_by_role("button", name="Switch on").click()
    expect(row_of(page, bad)).not_to_contain_text("Switched off")

    row_of(page, good).get_by_role("link", name="Edit").click()
    page.get_by_label("Milliseconds between two calls").fill("125")
    page.get_by_label("Further windows").fill("often")
    page.get_by_role("button", name="Save the key").click()
    expect(page.get_by_role("alert")).to_contain_text("Further windows: write windows as")
    page.get_by_label("Further windows").fill("1000 in 3600")
    page.get_by_role("button", name="Save the key").click()
    expect(row_of(page, good)).to_contain_text("125 ms apart")
    expect(row_of(page, good)).to_contain_text("1,000 in 3,600 s")

    history = page.get_by_role("region", name="History of this client")
    expect(history).to_contain_text("Key …good tested: passed, valid")
    expect(history).to_contain_text("Key …lost tested: did not pass, provider unauthorized")
    expect(history).to_contain_text("Key …lost reset")
    for secret in (good, bad):
        row_of(page, secret).get_by_role("link", name="Remove").click()
        page.get_by_role("button", name="Remove the key").click()
        expect(page.get_by_role("status").first).to_contain_text("removed.")
    assert "secret-of-elm" not in page.content()


def test_a_new_client_is_made_on_the_way_and_its_person_signs_in(
    make_visitor: MakeVisitor,
) -> None:
    visitor, person = make_visitor(), "ann@hazel.example"
    visitor.sign_in(OPERATOR)
    page = visitor.page
    visitor.go("/onboard")
    fill_in(page, keys=(), person=person)
    page.get_by_label("Name of a new client", exact=True).fill("Hazel & Söhne")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_label("Queue")).to_have_value("verification-queue:client-hazel-sohne")
    page.get_by_role("button", name="Make and onboard Hazel").click()
    password = page.get_by_role("region", name=f"Password of {person}").inner_text()
    # With its style: what is checked are sizes and contrasts.
    page.wait_for_load_state("load")
    problems = page.evaluate(CHECKS)
    assert not problems, problems
    page.reload()
    expect(page.get_by_role("region", name=f"Password of {person}")).to_have_count(0)
    visitor.go("/clients")
    page.get_by_role("searchbox").fill("hazel.example")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("region", name="Clients").get_by_role("row")).to_have_count(2)
    newcomer = make_visitor()
    newcomer.sign_in(person, password)
    expect(newcomer.page.get_by_role("link", name="Upload", exact=True)).to_be_visible()


def test_a_review_that_was_changed_is_refused(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in(OPERATOR)
    visitor.go("/onboard")
    fill_in(page, person=OAK.email)
    page.get_by_role("button", name="Review").click()
    page.locator("[name=sealed]").evaluate("field => (field.value = field.value.slice(1))")
    page.get_by_role("button", name="Onboard Oak").click()
    expect(page.get_by_role("alert")).to_contain_text("fill in the form again")


def test_settings_are_saved_or_what_is_wrong_is_said(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in(OPERATOR)
    visitor.go(f"/clients/{ELM.slug}")
    page.get_by_label("Fall back after").fill("60")
    page.get_by_label("Weight").fill("2")
    page.get_by_label("Who is asked about a lead").fill("hunter, apollo")
    page.get_by_role("button", name="Save the settings").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    expect(page.get_by_label("Who is asked about a lead")).to_have_value("hunter, apollo")
    page.get_by_label("Who is asked about a lead").fill("")
    expect(page.get_by_label("Fall back after")).to_have_value("60")
    page.get_by_label("Fall back after").fill("")
    page.get_by_label("Weight").fill("1")
    page.get_by_role("button", name="Save the settings").click()
    expect(page.get_by_label("Fall back after")).to_have_value("")
    changes = page.get_by_role("region", name="History of this client").get_by_role("row")
    expect(changes.nth(1)).to_contain_text(
        "seconds without a worker before it falls back 60 → none"
    )


def test_nobody_but_operators_sees_clients(visitor: Visitor) -> None:
    visitor.visit(MAPLE)
    assert visitor.page.get_by_role("link", name="Clients").count() == 0
    for path in ("/clients", f"/clients/{PINE.slug}", "/clients/none", "/onboard", "/audit"):
        visitor.go(path)
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Not allowed")


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_about_clients_can_be_read_and_operated(
    make_visitor: MakeVisitor, size: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    visitor = make_visitor(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    visitor.sign_in(OPERATOR)
    page = visitor.page
    problems: list[str] = []

    def check(where: str) -> None:
        page.wait_for_load_state()
        problems.extend(f"{where}: {problem}" for problem in page.evaluate(CHECKS))

    pine = f"/clients/{PINE.slug}"
    for path in (
        "/clients",
        pine,
        f"{pine}/lane",
        f"{pine}/lane/rollback",
        f"{pine}/lane/enable",
        f"{pine}/lane/remove",
        f"{pine}/keys/new",
        f"{pine}/history",
        f"{pine}/ready",
        f"/clients/{QUAY.slug}",
        "/keys",
        "/audit",
        "/onboard",
    ):
        visitor.go(path)
        check(path)
    fill_in(page)
    page.get_by_role("button", name="Review").click()
    check("review")
    for link in ("Edit", "Switch off", "Remove"):
        visitor.go(f"/clients/{QUAY.slug}")
        row_of(page, "quay").get_by_role("link", name=re.compile(link)).click()
        check(link)
    assert not problems, "\n".join(problems)
