"""Acts on a client's lane: roll back, put back, another lane, remove. Each has a page that says first what will happen."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.clients.clients import ClientRow
from app.console.clients_forms import done_or_said, fields, lane_words, read, status_of
from app.console.frame import pages
from app.errors import LanewayError
from app.http import client_acts as acts
from app.http.models_clients import ClientChangeIn


@pages.get("/clients/<slug>/lane/<any(rollback, enable, remove):act>")
def client_ask(slug: str, act: str) -> str:
    """Say what an act on the lane will do, and ask."""
    return render_template("console/client_ask.html", client=acts.read_client(slug), act=act)


@pages.post("/clients/<slug>/lane/<any(rollback, enable, remove):act>")
def client_act(slug: str, act: str) -> ResponseReturnValue:
    """Roll a client back, put its lane in force again, or remove it."""

    def carry_out() -> str:
        if act == "remove":
            done = acts.remove_lane(slug)
        else:
            done = acts.change_client(slug, ClientChangeIn(active=act == "enable"))
        return lane_words(done.change)

    return done_or_said(carry_out, url_for("console.client", slug=slug))


@pages.get("/clients/<slug>/lane")
def client_lane(slug: str) -> str:
    """Ask for another lane."""
    found = acts.read_client(slug)
    return _lane_page(found, found.configured_queue or acts.suggest_queue(slug), None)


@pages.post("/clients/<slug>/lane")
def client_move(slug: str) -> ResponseReturnValue:
    """Move a client to another lane of its own, or show the form again with what is wrong."""
    wanted = fields("queue")
    try:
        done = acts.change_client(slug, read(ClientChangeIn, wanted))
    except LanewayError as error:
        page = _lane_page(acts.read_client(slug), wanted.get("queue", ""), error)
        return page, status_of(error)
    flash(lane_words(done.change), "done")
    return redirect(url_for("console.client", slug=slug), code=303)


def _lane_page(found: ClientRow, queue: str, problem: LanewayError | None) -> str:
    return render_template("console/client_lane.html", client=found, queue=queue, problem=problem)
