"""The web over a module's own servers: the application, and people who call it."""

import io
import re
from dataclasses import dataclass, field
from typing import Any

from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.accounts.tokens import issue_token
from app.accounts.users import get_account
from app.db.scope import system_scope
from tests.factories import Person

CSV = b"name,email\nAnn,ann@example.com\nBob,bob@example.com\n"


@dataclass
class Caller:
    """Somebody who calls the API with an access token; `person` None: nobody."""

    client: FlaskClient
    person: Person | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.person:
            with system_scope() as connection:
                account = get_account(connection, self.person.id)
            assert account
            self.headers = {"Authorization": f"Bearer {issue_token(account)[0]}"}

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.call("POST", path, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.call("DELETE", path, **options)

    def upload(
        self,
        content: bytes = CSV,
        name: str = "leads.csv",
        *,
        key: str | None = None,
        **fields: Any,
    ) -> TestResponse:
        headers = {"Idempotency-Key": key} if key else {}
        data = {**fields, "file": (io.BytesIO(content), name)}
        return self.post("/api/uploads", data=data, headers=headers)


def form_token(page: str) -> str:
    """Return the token that a page's forms carry against forged requests."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found
    return found[1]


@dataclass
class Web:
    """The application; `dispatched` counts how often it asked for a dispatch."""

    app: APIFlask
    dispatched: int = 0

    def __post_init__(self) -> None:
        def count() -> None:
            self.dispatched += 1

        self.app.extensions["dispatch"] = count

    def sign_in(self, person: Person) -> FlaskClient:
        """Return a browser in which a person has signed in."""
        browser = self.app.test_client()
        form = {"email": person.email, "password": person.password}
        form["csrf_token"] = form_token(browser.get("/login").text)
        assert browser.post("/login", data=form).status_code in {302, 303}
        return browser

    def caller(self, person: Person | None = None) -> Caller:
        """Return a caller with cookies of its own."""
        return Caller(self.app.test_client(), person)
