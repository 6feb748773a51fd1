"""One job's page while things happen to the job, the lane or the connection."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Response, expect

from tests.e2e.product import DAILY_LIMIT, MAPLE, PINE, QUAY
from tests.e2e.visitor import PATIENCE_MS, Visitor


def test_a_lane_without_a_worker_is_named_and_the_job_can_be_cancelled(
    visitor: Visitor, make_list: Callable[..., Path]
) -> None:
    page = visitor.page
    answers: list[int] = []

    def keep(response: Response) -> None:
        if response.url.endswith("/status"):
            answers.append(response.status)

    page.on("response", keep)
    visitor.visit(PINE)
    visitor.upload(make_list("ok-a@pine-leads.example", "ok-b@pine-leads.example"))
    news = page.locator("#news")
    expect(news).to_contain_text("no worker serves this lane", timeout=PATIENCE_MS)
    expect(page.locator("#facts")).to_contain_text(str(PINE.queue))
    expect(page.locator("#facts")).to_contain_text("Own lane")
    # Nothing changes while it waits: the server says so without saying it all again.
    with page.expect_response(lambda r: r.url.endswith("/status") and r.status == 304):
        pass
    assert set(answers) <= {200, 304}

    page.get_by_role("button", name="Cancel job").click()
    dialog = page.get_by_role("dialog", name="Cancel this job?")
    dialog.get_by_role("button", name="Keep it running").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Cancel job").click()
    dialog.get_by_role("button", name="Cancel the job").click()
    visitor.wait_for_status("Cancelled")
    expect(page.get_by_role("status").first).to_contain_text("Cancelled.")
    assert page.get_by_role("button", name="Cancel job").count() == 0


def test_a_spent_daily_quota_is_said_with_its_end(
    visitor: Visitor, make_list: Callable[..., Path]
) -> None:
    visitor.visit(QUAY)
    visitor.upload(make_list(*(f"ok-{n}@quay-leads.example" for n in range(3 * DAILY_LIMIT))))
    news = visitor.page.locator("#news")
    expect(news).to_contain_text("daily quota, resumes 00:00 UTC", timeout=PATIENCE_MS)
    expect(visitor.page.locator('[data-field="done"]')).to_have_text(str(DAILY_LIMIT))


def test_what_failed_can_be_retried(visitor: Visitor, make_list: Callable[..., Path]) -> None:
    page = visitor.page
    visitor.visit(MAPLE)
    visitor.upload(make_list("ok-a@retry.example", "flaky2-b@retry.example"))
    visitor.wait_for_status("Completed")
    expect(page.locator('.tally [data-field="unknown"]')).to_have_text("1")
    page.get_by_role("button", name="Retry 1 failed").click()
    expect(page.get_by_role("status").first).to_contain_text("1 address will be checked again")
    expect(page.locator('.tally [data-field="valid"]')).to_have_text("2", timeout=PATIENCE_MS)
    visitor.wait_for_status("Completed")
    assert page.get_by_role("button", name="Retry").count() == 0


def test_a_lost_connection_is_said_and_comes_back_by_itself(
    visitor: Visitor, make_list: Callable[..., Path]
) -> None:
    page = visitor.page
    visitor.visit(PINE)
    visitor.upload(make_list("ok-c@pine-leads.example"))
    expect(page.locator("#news")).to_contain_text("no worker", timeout=PATIENCE_MS)
    page.context.set_offline(True)
    lost = page.locator("#connection")
    expect(lost).to_contain_text("Connection lost, retrying in", timeout=PATIENCE_MS)
    expect(page.locator("#said")).to_contain_text("Connection lost")
    page.context.set_offline(False)
    expect(lost).to_be_hidden(timeout=PATIENCE_MS)
    expect(page.locator("#said")).to_contain_text("Connected again")


def test_a_hidden_page_asks_seldom_and_at_once_when_it_is_seen_again(
    visitor: Visitor, make_list: Callable[..., Path]
) -> None:
    page = visitor.page
    page.add_init_script(
        "let seen = true; Object.defineProperty(document, 'hidden', { get: () => !seen });"
        "window.look = (now) => { seen = now; document.dispatchEvent(new Event('visibilitychange')); };"
    )
    visitor.visit(PINE)
    visitor.upload(make_list("ok-d@pine-leads.example"))
    expect(page.locator("#news")).to_contain_text("no worker", timeout=PATIENCE_MS)
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("look(false)")
    page.clock.run_for(25_000)
    assert [url for url in asked if url.endswith("/status")] == []
    with page.expect_response(lambda response: response.url.endswith("/status")):
        page.evaluate("look(true)")


def test_a_long_list_of_jobs_has_older_ones(
    visitor: Visitor, make_list: Callable[..., Path]
) -> None:
    page = visitor.page
    visitor.visit(PINE)
    token = page.locator('meta[name="csrf-token"]').get_attribute("content") or ""
    content = make_list("ok-e@pine-leads.example").read_bytes()
    for number in range(26):
        answer = page.request.post(
            f"{visitor.url}/api/uploads",
            headers={"X-CSRFToken": token},
            multipart={
                "file": {"name": f"older-{number}.csv", "mimeType": "text/csv", "buffer": content}
            },
        )
        assert answer.status == 202
    visitor.go("/")
    titles = page.locator(".jobs .title")
    expect(titles.first).to_have_text("older-25.csv")
    expect(titles).to_have_count(25)
    page.get_by_role("link", name="Older", exact=True).click()
    expect(titles.first).to_have_text("older-0.csv")
    page.get_by_role("link", name="Newest").click()
    expect(titles.first).to_have_text("older-25.csv")
