"""Signing in: tokens, sessions, limits, and who is let in where."""

import re
import time

import jwt
import pytest

from app.accounts import users
from app.crypto import derive_key
from app.db.engine import owner_engine
from app.settings import get_settings
from tests.factories import PASSWORD, Person, make_person, make_tenant, owner_sql
from tests.integration.http_world import Caller, Web

JOBS = "/api/enrichment/jobs"


@pytest.fixture
def ann(web: Web) -> Person:
    return make_person(make_tenant())


def token_with(person: Person, **changes: object) -> dict[str, str]:
    """A token like ours with some claims changed (None: left out)."""
    with owner_engine().begin() as connection:
        account = users.get_account(connection, person.id)
    assert account
    now = int(time.time())
    claims = {
        "iss": "laneway",
        "aud": "laneway-api",
        "sub": str(person.id),
        "iat": now,
        "exp": now + 60,
        "stamp": account.stamp,
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(claims, derive_key("access token"), algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


def test_a_token_opens_the_api(web: Web, ann: Person) -> None:
    answer = web.caller().post(
        "/api/auth/login", json={"email": f" {ann.email.upper()} ", "password": PASSWORD}
    )
    assert answer.status_code == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600
    headers = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert (web.caller().get(JOBS, headers=headers).json or {})["jobs"] == []


@pytest.mark.parametrize(
    ("email", "password"),
    [("nobody@example.com", PASSWORD), ("ann", "wrong password"), ("ann", "x" * 900), ("", "")],
)
def test_whatever_is_wrong_the_answer_is_the_same(
    web: Web, ann: Person, email: str, password: str
) -> None:
    body = {"email": ann.email if email == "ann" else email, "password": password}
    answer = web.caller().post("/api/auth/login", json=body)
    assert answer.status_code == 401
    assert answer.json["detail"] == "The e-mail address or the password is not right."


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"iss": "somebody"},
        {"aud": "elsewhere"},
        {"sub": "me"},
        {"stamp": "0" * 16},
        {"stamp": None},
    ],
)
def test_a_token_must_be_whole_ours_and_fresh(
    web: Web, ann: Person, changes: dict[str, object]
) -> None:
    assert web.caller().get(JOBS, headers=token_with(ann)).status_code == 200
    answer = web.caller().get(JOBS, headers=token_with(ann, **changes))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["", "another key that is long enough, really"])
def test_a_token_signed_by_somebody_else_is_refused(web: Web, ann: Person, key: str) -> None:
    claims = {"sub": str(ann.id), "iss": "laneway", "aud": "laneway-api", "iat": 1, "exp": 2**40}
    token = jwt.encode(claims, key or None, algorithm="HS256" if key else "none")
    answer = web.caller().get(JOBS, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_a_deactivated_person_is_out_at_once(web: Web, ann: Person) -> None:
    api, page = web.caller(ann), sign_in_on_page(web, ann)
    assert api.get(JOBS).status_code == page.get(JOBS).status_code == 200
    owner_sql("UPDATE users SET is_active = false WHERE id = :id", {"id": ann.id})
    assert api.get(JOBS).status_code == page.get(JOBS).status_code == 401


def test_a_new_password_ends_tokens_and_sessions(web: Web, ann: Person) -> None:
    api, page = web.caller(ann), sign_in_on_page(web, ann)
    with owner_engine().begin() as connection:
        users.set_password(connection, ann.email, "a new password")
    assert api.get(JOBS).status_code == page.get(JOBS).status_code == 401


def test_a_copied_cookie_is_void_after_signing_out(web: Web, ann: Person) -> None:
    page, elsewhere, api = sign_in_on_page(web, ann), sign_in_on_page(web, ann), web.caller(ann)
    kept = page.client.get_cookie("laneway")
    assert kept
    assert page.post("/logout", data={"csrf_token": csrf_token(page, "/upload")}).status_code == 303
    thief = Caller(web.app.test_client())
    thief.client.set_cookie("laneway", kept.value)
    assert thief.get(JOBS).status_code == 401
    assert thief.get("/upload").status_code == 302
    # Only this browser was signed out.
    assert elsewhere.get(JOBS).status_code == api.get(JOBS).status_code == 200


def test_a_session_ends_however_busy_it_is(web: Web, ann: Person) -> None:
    page = sign_in_on_page(web, ann)
    for days, status in ((6.9, 200), (7.1, 401)):
        with page.client.session_transaction() as session:
            who, _, _ = session["_user_id"].rpartition(":")
            session["_user_id"] = f"{who}:{int(time.time() - days * 86_400)}"
        assert page.get(JOBS).status_code == status


@pytest.mark.parametrize("kept", ["{id}", "{id}:stamp", "a:b:c:d", "{id}:stamp:x:1", ""])
def test_a_session_of_an_earlier_version_is_none(web: Web, ann: Person, kept: str) -> None:
    page = sign_in_on_page(web, ann)
    with page.client.session_transaction() as session:
        session["_user_id"] = kept.format(id=ann.id)
    assert page.get(JOBS).status_code == 401


def test_ended_sessions_are_forgotten_when_they_would_have_ended(web: Web, ann: Person) -> None:
    owner_sql("INSERT INTO ended_sessions VALUES (gen_random_uuid(), now() - interval '1 s')")
    page = sign_in_on_page(web, ann)
    page.post("/logout", data={"csrf_token": csrf_token(page, "/upload")})
    assert owner_sql("SELECT count(*) FROM ended_sessions WHERE until < now()") == 0
    assert owner_sql("SELECT max(until) > now() + interval '6 days' FROM ended_sessions")


def test_a_session_must_prove_that_a_page_of_ours_asks(web: Web, ann: Person) -> None:
    page = sign_in_on_page(web, ann)
    refused = page.upload()
    assert refused.status_code == 403
    assert refused.json["code"] == "csrf_failed"
    assert page.post("/api/uploads", headers={"X-CSRFToken": "guess"}).status_code == 403
    page.headers["X-CSRFToken"] = csrf_token(page, "/upload")
    assert page.upload().status_code == 202


def test_a_cookie_lends_nothing_to_a_bad_token(web: Web, ann: Person) -> None:
    page = sign_in_on_page(web, ann)
    page.headers["X-CSRFToken"] = csrf_token(page, "/upload")
    for header in ("Bearer nonsense", "Basic YTpi", "Bearer"):
        assert page.get(JOBS, headers={"Authorization": header}).status_code == 401


def test_signing_in_drops_what_the_session_held(web: Web, ann: Person) -> None:
    client = web.app.test_client()
    with client.session_transaction() as session:
        session["planted"] = "by somebody"
    page = Caller(client)
    page.post(
        "/login",
        data={
            "email": ann.email,
            "password": PASSWORD,
            "csrf_token": csrf_token(page, "/login"),
        },
    )
    with client.session_transaction() as session:
        assert "_user_id" in session
        assert "planted" not in session


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(web: Web, ann: Person) -> None:
    page = Caller(web.app.test_client())
    answer = page.get("/login")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_an_outdated_hash_is_replaced_at_sign_in(web: Web, ann: Person) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    owner_sql("UPDATE users SET password_hash = :h WHERE id = :id", {"h": weak, "id": ann.id})
    body = {"email": ann.email, "password": PASSWORD}
    token = web.caller().post("/api/auth/login", json=body).json["access_token"]
    # The token is of the new hash already.
    answer = web.caller().get(JOBS, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert owner_sql("SELECT password_hash FROM users WHERE id = :id", {"id": ann.id}) != weak


def test_an_operators_hash_is_left_to_the_owner(web: Web) -> None:
    from argon2 import PasswordHasher

    operator = make_person(role="operator")
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    owner_sql("UPDATE users SET password_hash = :h WHERE id = :id", {"h": weak, "id": operator.id})
    body = {"email": operator.email, "password": PASSWORD}
    assert web.caller().post("/api/auth/login", json=body).status_code == 200
    assert owner_sql("SELECT password_hash FROM users WHERE id = :id", {"id": operator.id}) == weak


def test_attempts_are_limited_by_address_and_by_email(
    web: Web, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGIN_LIMIT", "3 per minute")
    monkeypatch.setenv("LOGIN_EMAIL_LIMIT", "7 per minute")
    get_settings.cache_clear()

    def attempt(email: str, address: str) -> int:
        answer = web.app.test_client().post(
            "/api/auth/login",
            json={"email": email, "password": "wrong password"},
            environ_base={"REMOTE_ADDR": address},
        )
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert answer.json["code"] == "too_many_requests"
        return answer.status_code

    try:
        # One address against many people.
        assert [attempt(f"p{n}@example.com", "192.0.2.1") for n in range(4)] == [401] * 3 + [429]
        # Many addresses against one person, whatever the spelling.
        spellings = [ann.email, ann.email.upper(), f" {ann.email}", ann.email] * 2
        assert [attempt(e, f"192.0.2.{n + 2}") for n, e in enumerate(spellings)] == [401] * 7 + [
            429
        ]
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def test_one_address_locks_nobody_out(
    web: Web, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGIN_LIMIT", "3 per minute; 4 per hour")
    monkeypatch.setenv("LOGIN_EMAIL_LIMIT", "8 per minute; 8 per hour")
    get_settings.cache_clear()

    def attempt(password: str, address: str) -> int:
        return (
            web.app.test_client()
            .post(
                "/api/auth/login",
                json={"email": ann.email, "password": password},
                environ_base={"REMOTE_ADDR": address},
            )
            .status_code
        )

    try:
        guessed = [attempt("wrong password", "198.51.100.1") for _ in range(20)]
        assert guessed == [401] * 3 + [429] * 17
        assert attempt(PASSWORD, "198.51.100.2") == 200
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def test_operators_only(web: Web, ann: Person) -> None:
    admin = make_person(ann.tenant, role="admin")
    operator = make_person(role="operator")
    for path in ("/api/lanes", "/api/keys"):
        assert web.caller().get(path).status_code == 401
        assert web.caller(ann).get(path).status_code == 403
        assert web.caller(admin).get(path).status_code == 403
        assert web.caller(operator).get(path).status_code == 200


def test_an_operator_without_a_client_has_no_lists(web: Web) -> None:
    operator = web.caller(make_person(role="operator"))
    assert operator.get(JOBS).json["jobs"] == []
    refused = operator.upload()
    assert refused.status_code == 403
    assert refused.json["code"] == "forbidden"


def csrf_token(page: Caller, path: str) -> str:
    """Read the token that a page of ours carries."""
    found = re.search(r'name="csrf[-_]token"[^>]*(?:content|value)="([^"]+)"', page.get(path).text)
    assert found, "the page carries no token"
    return found[1]


def sign_in_on_page(web: Web, person: Person) -> Caller:
    """Sign in as a browser does."""
    page = Caller(web.app.test_client())
    form = {
        "email": person.email,
        "password": person.password,
        "csrf_token": csrf_token(page, "/login"),
    }
    answer = page.post("/login", data=form)
    assert answer.status_code in (302, 303), answer.text
    return page
