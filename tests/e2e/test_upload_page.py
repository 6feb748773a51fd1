"""Ways of sending a list: dropped, by keyboard, without scripts; and what happens when it can't be taken."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import FileChooser, Page, expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import MAPLE, MAX_BYTES, OAK
from tests.e2e.visitor import JOB_ADDRESS, PATIENCE_MS, Visitor

#: The beginning of a picture, by a name that promises a list.
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
_DROP = """
([name, text, type]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name, { type }));
  const drop = document.getElementById("drop");
  for (const kind of ["dragenter", "dragover", "drop"]) {
    drop.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}
"""


def test_a_dropped_list_is_previewed_and_another_column_chosen(visitor: Visitor) -> None:
    page = visitor.page
    visitor.visit(MAPLE)
    visitor.go("/upload")
    text = "Private;Work\nok-p1@private.example;ko-w1@work.example\nok-p2@private.example;ko-w2@work.example\n"
    page.evaluate(_DROP, ["dropped.csv", text, "text/csv"])
    table = page.get_by_role("region", name="First rows of the file")
    expect(table.get_by_text("ko-w2@work.example")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("radio", name="Work").check()
    visitor.send()
    expect(page.get_by_role("heading", name="dropped.csv")).to_be_visible()
    visitor.wait_for_status("Completed")
    emails = page.locator("#results .email")
    expect(emails).to_have_text(["ko-w1@work.example", "ko-w2@work.example"])


def test_a_list_without_a_header_goes_by_the_column_that_was_chosen(
    visitor: Visitor, tmp_path: Path
) -> None:
    file = tmp_path / "bare.csv"
    file.write_text("ok-a@bare.example,ok-x@bare.example\nok-b@bare.example,ok-y@bare.example\n")
    visitor.visit(MAPLE)
    visitor.choose(file)
    visitor.page.get_by_role("radio", name="Column 2").check()
    visitor.send()
    visitor.wait_for_status("Completed")
    emails = visitor.page.locator("#results .email")
    expect(emails).to_have_text(["ok-x@bare.example", "ok-y@bare.example"])


def _tab_to(page: Page, selector: str, steps: int = 30) -> None:
    """Press Tab until the element has the focus, as somebody without a mouse does."""
    for _ in range(steps):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached with the Tab key")


def _open_chooser(page: Page) -> FileChooser:
    """Press Enter on the field, and return the system's dialogue."""
    expect(page.locator("#file")).to_be_focused()
    with page.expect_file_chooser(timeout=PATIENCE_MS) as chooser:
        page.keyboard.press("Enter")
    return chooser.value


def test_sign_in_and_upload_need_no_mouse(visitor: Visitor, make_list: Callable[..., Path]) -> None:
    page = visitor.page
    # From now on the browser hands its dialogues over. Where it is told so only as Enter is pressed, it may open one of its own
    # before, which nobody can answer, and no second one beside it.
    page.on("filechooser", lambda _chooser: None)
    visitor.go("/login")
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(MAPLE.email)
    _tab_to(page, "#password")
    page.keyboard.type("correct horse battery staple")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    _tab_to(page, 'a.button[href="/upload"]')
    page.keyboard.press("Enter")
    page.wait_for_url("**/upload")
    _tab_to(page, "#file")
    _open_chooser(page).set_files(make_list("ok-k@keyboard.example"))
    expect(page.get_by_role("radio", name="email")).to_be_checked(timeout=PATIENCE_MS)
    _tab_to(page, "#send")
    page.keyboard.press("Enter")
    page.wait_for_url(JOB_ADDRESS)
    visitor.wait_for_status("Completed")


def test_a_picture_is_refused_in_words_and_leaves_no_job(visitor: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "picture.csv"
    file.write_bytes(PNG)
    page = visitor.page
    visitor.visit(OAK)
    visitor.choose(file)
    expect(page.get_by_role("heading", name="No preview of this file")).to_be_visible()
    page.get_by_role("button", name="Upload and verify").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("can't be read as a list", timeout=PATIENCE_MS)
    expect(alert).to_be_focused()
    expect(page.get_by_role("button", name="Upload and verify")).to_be_enabled()
    visitor.go("/")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    assert page.get_by_text("picture.csv").count() == 0


def test_a_list_over_the_limit_is_refused_before_it_is_sent(
    visitor: Visitor, tmp_path: Path
) -> None:
    file = tmp_path / "huge.csv"
    file.write_bytes(b"email\n" + b"ok-x@huge.example\n" * (MAX_BYTES // 18 + 1))
    page = visitor.page
    visitor.visit(OAK)
    visitor.go("/upload")
    page.get_by_label("Choose the file").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("the limit is 4.0 MB")
    assert page.locator("#preview").is_hidden()


def test_a_list_over_the_limit_is_refused_without_scripts_too(
    make_visitor: MakeVisitor, tmp_path: Path
) -> None:
    file = tmp_path / "huge.csv"
    file.write_bytes(b"email\n" + b"ok-x@huge.example\n" * (MAX_BYTES // 18 + 1))
    visitor = make_visitor(java_script_enabled=False)
    visitor.visit(OAK)
    visitor.go("/upload")
    visitor.page.get_by_label("Choose the file").set_input_files(file)
    visitor.page.get_by_role("button", name="Upload and verify").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("Too large", timeout=PATIENCE_MS)


def test_a_transfer_can_be_cancelled_and_leaves_no_job(visitor: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("email\n" + "".join(f"ok-{n}@long.example\n" for n in range(120_000)))
    # At the speed below it takes most of a minute, so the cancel comes well before the end.
    page = visitor.page
    visitor.visit(OAK)
    visitor.choose(file)
    line = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 20, "downloadThroughput": -1, "uploadThroughput": 60_000}
    line.send("Network.emulateNetworkConditions", slow)
    page.get_by_role("button", name="Upload and verify").click()
    bar = page.get_by_role("progressbar", name="Transfer")
    expect(bar).to_have_attribute("value", re.compile("[1-9]"), timeout=PATIENCE_MS)
    page.get_by_role("button", name="Cancel transfer").click()
    expect(page.get_by_role("alert")).to_contain_text("Transfer cancelled")
    line.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1, "latency": 0})
    visitor.go("/")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    assert page.get_by_text("long.csv").count() == 0


def test_everything_works_without_scripts(
    make_visitor: MakeVisitor, make_list: Callable[..., Path]
) -> None:
    visitor = make_visitor(java_script_enabled=False)
    page = visitor.page
    visitor.visit(MAPLE)
    page.get_by_role("link", name="Upload a list").first.click()
    page.get_by_label("Choose the file").set_input_files(
        make_list("ok-a@plain.example", "ko-b@plain.example", name="plain.csv")
    )
    page.get_by_label("Name of the address column").fill("email")
    page.get_by_role("button", name="Upload and verify").click()
    page.wait_for_url(JOB_ADDRESS)
    expect(page.get_by_role("heading", name="plain.csv")).to_be_visible()
    expect(visitor.status("Completed").or_(page.locator("#cancel"))).to_be_visible()
    page.locator("#results").get_by_role("link", name="Invalid").click()
    assert "verdict=invalid" in page.url


def test_a_refused_list_is_said_without_scripts_too(
    make_visitor: MakeVisitor, tmp_path: Path
) -> None:
    (tmp_path / "picture.csv").write_bytes(PNG)
    visitor = make_visitor(java_script_enabled=False)
    visitor.visit(MAPLE)
    visitor.go("/upload")
    visitor.page.get_by_label("Choose the file").set_input_files(tmp_path / "picture.csv")
    visitor.page.get_by_role("button", name="Upload and verify").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("can't be read as a list")
