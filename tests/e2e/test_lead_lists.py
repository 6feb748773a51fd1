"""A list of leads without e-mails: its columns are mapped, e-mails are found, then verified, by real workers."""

import csv
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.product import OAK, PASSWORD
from tests.e2e.visitor import JOB_ADDRESS, PATIENCE_MS, Visitor

#: By the sandbox's words: the last name says what is found, the first name what the e-mail's verdict is.
ROWS = [
    ["Who", "House", "Works at", "Site"],
    ["ok-Ann", "found-Smith", "Acme", "acme.example"],
    ["ko-Ben", "apollo.miss-hunter.found-Jones", "Acme", "acme.example"],
    ["Cyd", "miss-Evans", "Bolt", "bolt.example"],
    ["", "", "", ""],
    ["", "Nobody", "", ""],
]


def write(file: Path) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(ROWS)
    return file


def test_leads_get_e_mails_that_are_verified_in_the_same_job(
    visitor: Visitor, tmp_path: Path
) -> None:
    page = visitor.page
    visitor.visit(OAK)
    visitor.go("/upload")
    expect(page.get_by_label("Asked first")).to_be_hidden()
    page.get_by_label("Find e-mails, then verify them").check()
    expect(page.get_by_label("Asked first")).to_be_visible()
    page.get_by_label("Choose the file").set_input_files(write(tmp_path / "leads.csv"))
    mapping = page.get_by_role("group", name="Which column holds what?")
    expect(mapping).to_be_visible(timeout=PATIENCE_MS)
    # The headings are nobody's usual words, so nothing is proposed.
    expect(mapping.get_by_label("First name")).to_have_value("")
    for field, column in {
        "First name": "Who",
        "Last name": "House",
        "Company's domain": "Site",
    }.items():
        mapping.get_by_label(field, exact=True).select_option(column)
    page.get_by_role("button", name="Upload, find and verify").click()
    page.wait_for_url(JOB_ADDRESS)
    visitor.wait_for_status("Completed")

    rows = page.locator("#results tbody tr")
    ann = rows.filter(has_text="ok-ann.found-smith@acme.example")
    expect(ann).to_contain_text("Valid")
    expect(ann).to_contain_text("Apollo")
    ben = rows.filter(has_text="ko-ben.")
    expect(ben).to_contain_text("Invalid")
    expect(ben).to_contain_text("Hunter, score 97")
    expect(rows.filter(has_text="Cyd miss-Evans")).to_contain_text("Not found")
    tally = page.locator(".tally")
    for label in ("Valid", "Invalid", "Partly found", "Not found", "Unknown"):
        expect(tally.get_by_text(label, exact=True)).to_be_visible()
    expect(page.get_by_text("1 row could not be read")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download CSV").click()
    with waiting.value.path().open(newline="", encoding="utf-8-sig") as stream:
        found = list(csv.DictReader(stream))
    emails = [(row["found_email"], row["found_email_provider"]) for row in found]
    assert emails == [
        ("ok-ann.found-smith@acme.example", "apollo"),
        ("ko-ben.apollo.miss-hunter.found-jones@acme.example", "hunter"),
        ("", ""),
    ]


def test_usual_headings_are_mapped_by_themselves(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    file = tmp_path / "usual.csv"
    file.write_text("First Name,Last Name,Company,Notes\nAnn,found-Smith,Acme,x\n")
    visitor.visit(OAK)
    visitor.choose(file)
    # The purpose may be chosen after the file, too: the preview follows.
    expect(page.locator("#preview-facts")).to_contain_text("choose above that e-mails are found")
    page.get_by_label("Find what is missing of the leads").check()
    mapping = page.get_by_role("group", name="Which column holds what?")
    expect(mapping.get_by_label("First name")).to_have_value("First Name", timeout=PATIENCE_MS)
    expect(mapping.get_by_label("Company", exact=True)).to_have_value("Company")
    page.get_by_role("button", name="Upload and find").click()
    page.wait_for_url(JOB_ADDRESS)
    visitor.wait_for_status("Completed")
    expect(page.locator("#results tbody tr")).to_contain_text("@acme.example")
    expect(page.locator(".tally").get_by_text("Found", exact=True)).to_be_visible()


def test_a_lead_that_is_not_found_has_one_colour_on_both_pages(visitor: Visitor) -> None:
    page, api = visitor.page, f"{visitor.url}/api"
    visitor.visit(OAK)
    login = {"email": OAK.email, "password": PASSWORD}
    token = page.request.post(f"{api}/auth/login", data=login).json()["access_token"]
    known = {"firstName": "Ann", "lastName": "miss-Smith", "domain": "grey.example"}
    said = {
        "type": "single_lead_enrichment",
        "title": "one miss",
        "payload": {"leadId": "a", "inputData": known, "enrichmentTypes": ["email"]},
    }
    bearer = {"Authorization": f"Bearer {token}"}
    job = page.request.post(f"{api}/enrichment/jobs", data=said, headers=bearer).json()
    visitor.go(f"/jobs/{job['id']}")
    visitor.wait_for_status("Completed")
    expect(page.locator("#reach")).to_have_text("1 of 1 leads looked up")
    all_of_it = re.compile(r"1000(\.0+)?")
    bar = page.locator(".progress .lane rect.not_found")
    expect(bar).to_have_attribute("width", all_of_it)
    colours = [bar.evaluate("bar => getComputedStyle(bar).fill")]
    visitor.go("/dashboard")
    row = page.locator("#rows > li").filter(has=page.get_by_role("button", name="one miss"))
    bar = row.locator(".lane rect.not_found")
    expect(bar).to_have_attribute("width", all_of_it)
    colours.append(bar.evaluate("bar => getComputedStyle(bar).fill"))
    assert colours[0] == colours[1]


def test_addresses_are_verified_by_the_provider_that_the_job_names(visitor: Visitor) -> None:
    page, api = visitor.page, f"{visitor.url}/api"
    visitor.visit(OAK)
    login = {"email": OAK.email, "password": PASSWORD}
    token = page.request.post(f"{api}/auth/login", data=login).json()["access_token"]
    said = {
        "type": "email_validation",
        "payload": {"emails": ["ok-a@shop.example", "shy-b@shop.example"], "providerId": "hunter"},
    }
    bearer = {"Authorization": f"Bearer {token}"}
    job = page.request.post(f"{api}/enrichment/jobs", data=said, headers=bearer).json()
    visitor.go(f"/jobs/{job['id']}")
    visitor.wait_for_status("Completed")
    rows = page.locator("#results tbody tr")
    expect(rows.filter(has_text="ok-a@")).to_contain_text("score 97 of 100")
    expect(rows.filter(has_text="shy-b@")).to_contain_text("Unknown")
