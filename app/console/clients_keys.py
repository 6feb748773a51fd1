"""Keys for operators: add to a client, change, switch off and on, test, reset, remove. No page ever holds a secret."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.console.clients_forms import done_or_said, fields, pasted_keys, read, status_of, warn
from app.console.frame import pages
from app.errors import InvalidInput, LanewayError
from app.http import client_acts, key_acts
from app.http.models_keys import KeyChangeIn, KeysIn
from app.jobs.provider_keys import KeyRow

LIMITS = ("spacing_ms", "per_30s", "daily_limit", "reset_hour", "extra_windows", "notes")


def home_of_key(key: KeyRow) -> str:
    """Return the page that a key stands on: its client's, or the list of all for the platform's."""
    if key.tenant is None:
        return url_for("console.keys")
    return url_for("console.client", slug=key.tenant, _anchor="keys")


@pages.get("/clients/<slug>/keys/new")
def key_new(slug: str) -> str:
    """Ask for keys of a client."""
    return _new_page(slug, None)


@pages.post("/clients/<slug>/keys/new")
def key_add(slug: str) -> ResponseReturnValue:
    """Add keys, or show the form again; the keys have to be pasted again then."""
    try:
        secrets = pasted_keys()
        if not secrets:
            raise InvalidInput("Paste the keys, one a line.")
        limits = fields(*LIMITS)
        asked = read(KeysIn, {"keys": [{"secret": secret, **limits} for secret in secrets]})
        added, warnings = client_acts.add_keys(slug, asked.keys)
    except LanewayError as error:
        return _new_page(slug, error), status_of(error)
    flash(f"{len(added)} key{'' if len(added) == 1 else 's'} added.", "done")
    warn(warnings)
    return redirect(url_for("console.client", slug=slug, _anchor="keys"), code=303)


def _new_page(slug: str, problem: LanewayError | None) -> str:
    return render_template(
        "console/client_keys.html",
        client=client_acts.read_client(slug),
        problem=problem,
        form=request.form,
    )


@pages.get("/keys/<uuid:key_id>")
def key(key_id: UUID) -> str:
    """Show a key's limits, to be changed."""
    return _key_page(key_acts.read_key(key_id), None)


@pages.post("/keys/<uuid:key_id>")
def key_change(key_id: UUID) -> ResponseReturnValue:
    """Change a key's limits, or show the form again with what is wrong."""
    try:
        changed, _ = key_acts.change_key(key_id, read(KeyChangeIn, fields(*LIMITS)))
    except LanewayError as error:
        return _key_page(key_acts.read_key(key_id), error), status_of(error)
    flash(f"The key …{changed.hint} is changed. Workers follow within seconds.", "done")
    return redirect(home_of_key(changed), code=303)


def _key_page(found: KeyRow, problem: LanewayError | None) -> str:
    return render_template(
        "console/client_key.html",
        key=found,
        problem=problem,
        form=request.form,
        home=home_of_key(found),
    )


@pages.get("/keys/<uuid:key_id>/<any(remove, disable):act>")
def key_ask(key_id: UUID, act: str) -> str:
    """Say what will happen without the key, and ask."""
    found = key_acts.read_key(key_id)
    return render_template(
        "console/client_key_ask.html",
        key=found,
        act=act,
        home=home_of_key(found),
        follows=key_acts.foresee(key_id),
    )


@pages.post("/keys/<uuid:key_id>/<any(remove, disable, enable, test, reset):act>")
def key_act(key_id: UUID, act: str) -> ResponseReturnValue:
    """Carry out an act on a key and go back to where it stands."""
    found = key_acts.read_key(key_id)

    def carry_out() -> str:
        if act in ("enable", "disable"):
            _, warnings = key_acts.change_key(key_id, KeyChangeIn(enabled=act == "enable"))
            warn(warnings)
            return f"The key …{found.hint} is switched {'on' if act == 'enable' else 'off'}."
        if act == "test":
            return _tested(found)
        {"remove": key_acts.remove_key, "reset": key_acts.reset_key}[act](key_id)
        return f"The key …{found.hint} is " + (
            "removed." if act == "remove" else "used again from now on."
        )

    return done_or_said(carry_out, home_of_key(found))


def _tested(found: KeyRow) -> str:
    assert found.id is not None, "a key is tested by its id"  # noqa: S101 - for the type
    result = key_acts.test_key(found.id)
    if not result.ok:
        raise InvalidInput(f"The key …{found.hint} did not pass the test: {result.words}.")
    return f"The key …{found.hint} works: {result.words}."
