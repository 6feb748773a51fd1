"""The dashboard of jobs, with real workers: what people do there to many jobs at once."""

from playwright.sync_api import expect

from tests.e2e.dashboard_page import Upload, open_dashboard, row
from tests.e2e.product import FIR, PINE
from tests.e2e.visitor import Visitor


def test_chosen_jobs_are_cancelled_together_after_a_question(
    visitor: Visitor, upload: Upload
) -> None:
    page = open_dashboard(visitor, PINE)
    names = [f"bulk-{n}.csv" for n in range(3)]
    for name in names:
        upload(name, f"ok-{name}@bulk.example", tags="bulk")
    visitor.go("/dashboard?tag=bulk")
    expect(page.locator("#rows > li")).to_have_count(3)
    page.get_by_label("Choose all on this page").check()
    page.get_by_label("Choose bulk-1.csv").uncheck()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog", name="Cancel 2 jobs?").get_by_role(
        "button", name="Cancel 2 jobs"
    ).click()
    expect(page.locator("#told")).to_contain_text("2 jobs cancelled.")
    for name in ("bulk-0.csv", "bulk-2.csv"):
        expect(row(page, name).locator(".status")).to_have_text("Cancelled")
    expect(row(page, "bulk-1.csv").locator(".status")).not_to_have_text("Cancelled")


def test_many_jobs_are_tagged_and_the_tag_taken_away_again(
    visitor: Visitor, upload: Upload
) -> None:
    page = open_dashboard(visitor, PINE)
    names = [f"tags-{n}.csv" for n in range(3)]
    for name in names:
        upload(name, f"ok-{name}@tags.example", tags="many")
    visitor.go("/dashboard?tag=many")
    expect(page.locator("#rows > li")).to_have_count(3)
    add = page.get_by_role("button", name="Add tag")
    expect(add).to_be_disabled()
    page.get_by_label("Choose tags-0.csv").check()
    page.get_by_label("Choose tags-2.csv").check()
    add.click()
    expect(page.locator("#told")).to_contain_text("Write the tag first")
    word = page.get_by_label("Tag for the chosen jobs")
    expect(word).to_be_focused()
    word.fill("<b>spring</b>")
    add.click()
    expect(page.locator("#told")).to_contain_text("2 jobs tagged.")
    for name, has in zip(names, (True, False, True), strict=True):
        tag = row(page, name).locator(".tag", has_text="<b>spring</b>")
        expect(tag).to_have_count(1 if has else 0)
    page.get_by_label("Choose tags-2.csv").check()
    word.fill("many")
    page.get_by_role("button", name="Remove tag").click()
    expect(page.locator("#told")).to_contain_text("1 job untagged.")
    expect(row(page, "tags-2.csv")).to_have_count(0)
    expect(page.locator("#rows > li")).to_have_count(2)


def test_all_given_up_are_retried_with_one_act(visitor: Visitor) -> None:
    page = open_dashboard(visitor, FIR, "?status=dead_letter&tag=few")
    expect(page.locator("#rows > li")).to_have_count(3)
    page.get_by_role("button", name="Retry all given up").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry them all").click()
    expect(page.locator("#told")).to_contain_text("3 jobs taken up again.")
    expect(page.get_by_text("No job matches.")).to_be_visible()
