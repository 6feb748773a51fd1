"""Who asks: a bearer's token or a page's session, looked up in the database at every request.

A view that has its caller confirmed by what it does (`callers.py`) may begin with one who was looked up a moment ago.

A request with an Authorization header is judged by that header alone, so a cookie can never lend it rights; a request
with a session that changes something must carry the page's token as well. Views say what they need with `signed_in` or
`for_operators` and read `current_account()`; pages may use Flask-Login's `current_user`, which holds the same account.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import structlog
from flask import Flask, current_app, g, redirect, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from werkzeug.wrappers import Response

from app.accounts.users import (
    Account,
    find_session_account,
    revoke_session,
)
from app.db.refusals import overtaken
from app.db.scope import statement_scope, system_scope
from app.errors import Forbidden, NoToken, Unauthenticated
from app.http import callers, gates
from app.http.bearers import account_of_header, let_in, look_up
from app.http.gates import gate
from app.http.limits import count_tenant
from app.http.security import guard, is_unsafe
from app.settings import get_settings

login_manager = LoginManager()


@dataclass(frozen=True)
class _Kept:
    """What a session's cookie says of itself: whom it names, the password's stamp, its own id, its beginning."""

    user_id: UUID
    stamp: str
    session_id: UUID
    began: int

    @classmethod
    def read(cls, text: str) -> "_Kept":
        """Raises `ValueError` for what is not ours, or of an earlier version."""
        user_id, stamp, session_id, began = text.split(":")
        return cls(UUID(user_id), stamp, UUID(session_id), int(began))

    def __str__(self) -> str:
        return f"{self.user_id}:{self.stamp}:{self.session_id}:{self.began}"

    @property
    def until(self) -> datetime:
        """When the session ends however busy it is; a stolen cookie must not live for ever."""
        days = get_settings().session_max_days
        return datetime.fromtimestamp(self.began, UTC) + timedelta(days=days)


class SessionUser(UserMixin):  # type: ignore[misc] # Flask-Login has no types
    """Flask-Login's view of an account. What it keeps carries the password's stamp: a new password ends old sessions."""

    def __init__(self, account: Account, kept: _Kept) -> None:
        self.account = account
        self.kept = kept

    def get_id(self) -> str:
        """Return what the session keeps."""
        return str(self.kept)


@login_manager.user_loader  # type: ignore[untyped-decorator] # Flask-Login has no types
def _load_session(text: str) -> SessionUser | None:
    try:
        kept = _Kept.read(text)
    except ValueError:
        return None
    if kept.until < datetime.now(UTC):
        return None
    with statement_scope() as connection:
        account = find_session_account(connection, kept.user_id, kept.stamp, kept.session_id)
    return SessionUser(account, kept) if account else None


@login_manager.unauthorized_handler  # type: ignore[untyped-decorator] # Flask-Login has no types
def _ask_to_sign_in() -> Response:
    """Send a page's visitor to the login page; the API answers 401."""
    if request.path.startswith("/api/") or "console.login" not in current_app.view_functions:
        raise NoToken
    return redirect(url_for("console.login", next=request.full_path.rstrip("?")))


def start_session(account: Account) -> None:
    """Sign a person in on this browser. Whatever the session held before is dropped, so none can be planted."""
    session.clear()
    session.permanent = True
    kept = _Kept(account.id, account.stamp, uuid4(), int(datetime.now(UTC).timestamp()))
    login_user(SessionUser(account, kept))


def end_session() -> None:
    """Sign out on this browser: its session is void, also where somebody kept a copy of the cookie."""
    if current_user.is_authenticated:
        with system_scope() as connection:
            revoke_session(connection, current_user.kept.session_id, current_user.kept.until)
    logout_user()
    session.clear()


def confirm_caller() -> None:
    """Look up who was let in as remembered, and let them in as who they are now.

    Raises `Unauthenticated` or `Forbidden`, and `Overtaken` for a person who is now another client's.
    """
    remembered = callers.unconfirmed()
    if remembered is None:
        return
    callers.note_confirmed()
    g.remembered_caller = None
    g.pop("account", None)
    account = require_account()
    _check_scope()
    if account.tenant_id != remembered.account.tenant_id:
        raise overtaken()


def _confirm_answer(response: Response) -> Response:
    """Send no answer to somebody who may have been shut out: what they sent is not theirs to be told about."""
    if callers.unconfirmed() is None:
        return response
    try:
        confirm_caller()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is answered as if it had come first
        return current_app.make_response(current_app.handle_user_exception(error))
    return response


def _check_scope() -> None:
    """Refuse a program what its token was not made for."""
    scopes = g.get("scopes")
    if scopes is None:
        return
    noun = "webhooks" if request.blueprint == "webhooks" else "jobs"
    needed = f"{noun}:{'write' if is_unsafe() else 'read'}"
    if needed not in scopes:
        raise Forbidden(f"This token has no scope `{needed}`.")


def current_account() -> Account | None:
    """Return who asks, None for nobody. Raises `Unauthenticated` for a token that is not good."""
    if "account" not in g:
        header = request.headers.get("Authorization")
        if (caller := callers.of_request()) is not None:
            callers.note_unconfirmed(caller)
            g.account = let_in(caller)
        elif header is not None:
            g.account = account_of_header(header)
        else:
            g.account = current_user.account if current_user.is_authenticated else None
            if g.account and is_unsafe() and request.path.startswith("/api/"):
                # In the header only: looking for it in the form would read an upload before its time.
                guard.check_header()
        if g.account:
            g.user_id = str(g.account.id)
            structlog.contextvars.bind_contextvars(
                user_id=str(g.account.id), tenant_id=str(g.account.tenant_id)
            )
            if request.path.startswith("/api/"):
                count_tenant(g.account.tenant_id)
    account: Account | None = g.account
    return account


def standing() -> Callable[[], Account | None]:
    """Return a look, to be had later and without a request, at who asks now: None once they may not any more."""
    header = request.headers.get("Authorization")
    if header is None:
        kept = current_user.get_id()

        def of_session() -> Account | None:
            user = _load_session(kept)
            return user.account if user else None

        return of_session

    def of_bearer() -> Account | None:
        try:
            caller = look_up(callers.token_of(header))
        except Unauthenticated:
            return None
        return caller.account if caller else None

    return of_bearer


def require_account() -> Account:
    """Return who asks. Raises `Unauthenticated` for nobody."""
    account = current_account()
    if account is None:
        if request.path.startswith("/api/"):
            raise NoToken
        raise Unauthenticated("Sign in to go on.")
    return account


def require_tenant() -> tuple[Account, UUID]:
    """Return who asks and for which client. Raises `Forbidden` for somebody without one."""
    account = require_account()
    if account.tenant_id is None:
        raise Forbidden("This account belongs to no client, so it has no lists.")
    return account, account.tenant_id


def _check_signed_in() -> None:
    require_account()
    _check_scope()


def _check_person() -> None:
    require_account()
    if g.get("scopes") is not None:
        raise Forbidden("A token can't do this; sign in yourself.")


def _check_operator() -> None:
    if not require_account().is_operator or g.get("scopes") is not None:
        raise Forbidden("Only operators of this installation see this.")


#: Let only people in who have signed in, and programs whose token has the scope.
signed_in = gate(_check_signed_in)
#: Let only people in who have signed in themselves: no token makes tokens.
people_only = gate(_check_person)
#: Let only operators of the installation in.
for_operators = gate(_check_operator)


def register(app: Flask) -> None:
    """Put sessions in place, and `account` into every template of a view that asked who it is."""
    login_manager.init_app(app)
    gates.register(app)
    app.after_request(_confirm_answer)
    app.context_processor(lambda: {"account": g.get("account")})
