"""Who gets in, and what strangers learn."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import MAPLE, OAK, OPERATOR
from tests.e2e.visitor import Visitor


def test_the_page_asked_for_follows_the_sign_in(visitor: Visitor) -> None:
    visitor.go("/upload")
    page = visitor.page
    assert page.url == f"{visitor.url}/login?next=/upload"
    page.get_by_label("E-mail").fill(MAPLE.email)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Password")).to_be_focused()
    page.get_by_label("Password").fill("correct horse battery staple")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Upload a list")).to_be_visible()


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "/\\evil.example"])
def test_nobody_is_sent_elsewhere_after_the_sign_in(visitor: Visitor, target: str) -> None:
    visitor.go(f"/login?next={target}")
    visitor.page.get_by_label("E-mail").fill(MAPLE.email)
    visitor.page.get_by_label("Password").fill("correct horse battery staple")
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.page.wait_for_url(f"{visitor.url}/")


def test_a_wrong_address_and_a_wrong_password_sound_alike(make_visitor: MakeVisitor) -> None:
    said = []
    for email, password in (("nobody@nowhere.example", "x"), (MAPLE.email, "wrong")):
        visitor = make_visitor()
        visitor.sign_in(email, password)
        said.append(visitor.page.get_by_role("alert").inner_text())
    assert said[0] == said[1]


def test_signing_out_closes_the_pages(visitor: Visitor) -> None:
    visitor.visit(MAPLE)
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url("**/login")
    visitor.go("/")
    assert "/login" in visitor.page.url


def test_another_clients_job_is_not_there(
    make_visitor: MakeVisitor, make_list: Callable[..., Path]
) -> None:
    owner, stranger = make_visitor(), make_visitor()
    owner.visit(MAPLE)
    job = owner.upload(make_list("ok-a@mine.example"))
    stranger.visit(OAK)
    for path in (job, f"/api/enrichment{job}", f"/api/enrichment{job}/results.csv"):
        answer = stranger.page.request.get(stranger.url + path)
        assert answer.status == 404, path
    stranger.go(job)
    expect(stranger.page.get_by_role("heading", name="Not found")).to_be_visible()
    stranger.go("/")
    assert job not in stranger.page.content()


def test_lanes_and_keys_are_for_operators_only(make_visitor: MakeVisitor) -> None:
    member, operator = make_visitor(), make_visitor()
    member.visit(MAPLE)
    for path in ("/lanes", "/keys"):
        answer = member.page.goto(member.url + path)
        assert answer is not None
        assert answer.status == 403
        expect(member.page.get_by_role("heading", name="Not allowed")).to_be_visible()
    operator.sign_in(OPERATOR)
    expect(operator.page.get_by_role("heading", name="Lanes")).to_be_visible()
    assert operator.page.get_by_role("link", name="Upload").count() == 0
