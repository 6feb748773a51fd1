"""The dashboard of jobs, with real workers: what it shows by itself, and what people look for there."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.dashboard_page import Upload, open_dashboard, row
from tests.e2e.product import ELM, FIR, MAPLE, PINE
from tests.e2e.visitor import PATIENCE_MS, Visitor

STREAM = "**/api/enrichment/jobs/events*"


def test_a_job_appears_runs_and_ends_without_a_reload(visitor: Visitor, upload: Upload) -> None:
    # A process that begins to listen has its viewers read their lists once more: here at once, not up to two seconds later.
    visitor.page.add_init_script("Math.random = () => 0")
    page = open_dashboard(visitor, MAPLE)
    expect(page.locator("#mode")).to_have_text("Live", timeout=PATIENCE_MS)
    # Once it tells of a job, that is over.
    upload("first.csv", "ok-a@live.example")
    expect(row(page, "first.csv").locator(".status")).to_have_text("Completed", timeout=PATIENCE_MS)
    upload("live.csv", *(f"ok-{n}@live.example" for n in range(60)), tags="spring")
    expect(row(page, "live.csv")).to_be_visible(timeout=PATIENCE_MS)
    expect(row(page, "live.csv")).to_contain_text("spring")
    # Rows come in while the one chunk is at work.
    expect(row(page, "live.csv").locator(".reach p")).to_have_text(
        re.compile(r"^[1-5]?\d of 60$"), timeout=PATIENCE_MS
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(row(page, "live.csv").locator(".status")).to_have_text("Completed", timeout=PATIENCE_MS)
    expect(row(page, "live.csv").locator(".reach p")).to_have_text("60 of 60")
    # Told, not asked for: the list itself was not read again.
    assert [url for url in asked if "limit=50" in url] == []


def test_the_drawer_shows_course_rows_and_attempts_and_retries(
    visitor: Visitor, upload: Upload
) -> None:
    page = open_dashboard(visitor, MAPLE)
    upload("drawer.csv", "ok-a@drawer.example", "flaky2-b@drawer.example")
    expect(row(page, "drawer.csv").locator(".status")).to_have_text(
        "Completed", timeout=PATIENCE_MS
    )
    opener = page.get_by_role("button", name="drawer.csv", exact=True)
    opener.press("Enter")
    drawer = page.get_by_role("dialog", name="drawer.csv")
    expect(drawer.locator(".turns b")).to_have_text(["Made", "Begun", "Completed"])
    drawer.get_by_text("flaky2-b@drawer.example").click()
    expect(drawer.locator(".attempts")).to_contain_text("No verdict after 2 attempts")
    drawer.get_by_role("button", name="Retry failed rows").click()
    expect(drawer.locator(".turns b")).to_have_text(
        ["Made", "Begun", "Completed", "Taken up again", "Completed"], timeout=PATIENCE_MS
    )
    expect(drawer.get_by_role("button", name="Retry failed rows")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(opener).to_be_focused()


def test_what_there_is_not_is_no_filter(visitor: Visitor, upload: Upload) -> None:
    page = open_dashboard(visitor, PINE, "?type=zzz&status=zzz&priority=9&created_after=soon")
    upload("shown.csv", "ok-a@filter.example")
    expect(row(page, "shown.csv")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#connection")).to_be_hidden()
    visitor.go("/dashboard?created_after=2020-01-01&created_before=2099-01-01")
    expect(row(page, "shown.csv")).to_be_visible(timeout=PATIENCE_MS)
    visitor.go("/dashboard?created_after=2099-01-01")
    expect(page.get_by_text("No job matches.")).to_be_visible()


def test_the_drawer_says_why_a_job_waits_until_it_has_ended(
    visitor: Visitor, upload: Upload
) -> None:
    page = open_dashboard(visitor, PINE)
    upload("unserved.csv", "ok-a@unserved.example")
    page.get_by_role("button", name="unserved.csv", exact=True).click(timeout=PATIENCE_MS)
    drawer = page.get_by_role("dialog", name="unserved.csv")
    expect(drawer.get_by_text("Waiting: no worker serves this lane")).to_be_visible(
        timeout=PATIENCE_MS
    )
    drawer.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(drawer.get_by_text("Waiting:")).to_be_hidden()


def test_filters_stand_in_the_address_and_hold_for_what_comes(
    visitor: Visitor, upload: Upload
) -> None:
    page = open_dashboard(visitor, PINE)
    expect(page.locator("#mode")).to_have_text("Live", timeout=PATIENCE_MS)
    upload("one.csv", "ok-a@filter.example", tags="green", priority="2")
    upload("two.csv", "ok-b@filter.example", tags="blue")
    expect(row(page, "two.csv")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#filters").get_by_label("Tag").fill("green")
    expect(row(page, "two.csv")).to_have_count(0)
    expect(row(page, "one.csv")).to_be_visible()
    assert "tag=green" in page.url
    upload("three.csv", "ok-c@filter.example", tags="blue")
    upload("four.csv", "ok-d@filter.example", tags="green")
    expect(row(page, "four.csv")).to_be_visible(timeout=PATIENCE_MS)
    assert row(page, "three.csv").count() == 0
    page.reload()
    expect(page.locator("#filters").get_by_label("Tag")).to_have_value("green")
    expect(row(page, "four.csv")).to_be_visible()
    page.locator("#filters").get_by_label("Priority").select_option("2")
    expect(page.locator("#rows > li")).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Title").fill("three")
    expect(page.locator("#rows .title")).to_have_text(["three.csv"])
    page.get_by_role("link", name="Completed").click()
    expect(page.get_by_text("No job matches.")).to_be_visible()


def test_a_filter_that_there_is_not_is_left_out_and_a_year_can_be_typed(
    visitor: Visitor, upload: Upload
) -> None:
    page = open_dashboard(visitor, MAPLE)
    upload("typed.csv", "ok-a@typed.example", tags="typed")
    known = "tag=typed&created_after=2020-02-29"
    visitor.go(
        f"/dashboard?{known}&status=zzz&type=lead&priority=9&created_before=12026-01-01&q={'x' * 201}"
    )
    expect(page.locator("#rows .title")).to_have_text(["typed.csv"])
    expect(page.locator("#connection")).to_be_hidden()
    until = page.get_by_label("until")
    expect(until).to_have_value("")
    until.focus()
    until.press_sequentially("01012")
    expect(until).to_have_value("0002-01-01")
    page.wait_for_url(lambda url: "q=" not in url)
    expect(until).to_have_value("0002-01-01")
    assert page.url.endswith(f"?{known}")
    until.fill("2020-03-01")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    assert "created_before=2020-03-01" in page.url


def test_without_a_stream_the_page_asks_and_goes_over_to_it_later(
    make_visitor: MakeVisitor, make_list: Callable[..., Path]
) -> None:
    visitor = make_visitor()
    page = visitor.page
    full = {"on": True}

    def refuse(route: Route) -> None:
        if full["on"]:
            route.fulfill(status=503, headers={"Retry-After": "30"}, body="{}")
        else:
            route.continue_()

    page.route(STREAM, refuse)
    page.clock.install()
    open_dashboard(visitor, ELM)
    expect(page.locator("#mode")).to_have_text("Asking every 5 s", timeout=PATIENCE_MS)
    token = page.locator('meta[name="csrf-token"]').get_attribute("content") or ""
    page.request.post(
        f"{visitor.url}/api/uploads",
        headers={"X-CSRFToken": token},
        multipart={
            "file": {
                "name": "polled.csv",
                "mimeType": "text/csv",
                "buffer": make_list("ok-a@polled.example").read_bytes(),
            }
        },
    )
    page.clock.run_for(6_000)
    expect(row(page, "polled.csv")).to_be_visible(timeout=PATIENCE_MS)
    full["on"] = False
    page.clock.run_for(61_000)
    expect(page.locator("#mode")).to_have_text("Live", timeout=PATIENCE_MS)


def test_who_is_signed_out_elsewhere_is_told_so(visitor: Visitor) -> None:
    page = visitor.page
    page.route(STREAM, lambda route: route.fulfill(status=503, body="{}"))
    page.clock.install()
    open_dashboard(visitor, MAPLE)
    other = page.context.new_page()
    other.goto(visitor.url + "/")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/login*")
    page.clock.run_for(6_000)
    expect(page.locator("#connection")).to_contain_text("You are signed out")


def test_of_a_thousand_failures_the_page_draws_no_more_than_a_page(visitor: Visitor) -> None:
    page = open_dashboard(visitor, FIR, "?status=dead_letter")
    expect(page.locator('[data-count="dead_letter"]')).to_have_text("1,000", timeout=PATIENCE_MS)
    expect(page.locator("#rows > li")).to_have_count(50)
    expect(page.locator("#rows .why").first).to_contain_text("nobody knows this lead")
    # All of them are told of at once, in a stretch without a pause; the page must still draw.
    drawn = page.evaluate(
        """async () => {
          const told = await (await fetch("/api/enrichment/jobs?limit=100&status=dead_letter")).json();
          const { List } = await import("/assets/dashboard/list.js");
          const list = new List({ onOpen() {}, onPicked() {} });
          for (let turn = 0; turn < 10; turn++) for (const job of told.jobs) list.note({ ...job, id: job.id.slice(0, -2) + String(10 + turn) });
          list.draw();
          return document.querySelectorAll("#rows > li").length;
        }"""
    )
    assert drawn <= 50
    page.reload()
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_role("button", name="Newest")).to_be_visible()
    expect(page.locator("#rows > li")).to_have_count(50)
