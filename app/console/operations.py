"""Pages for operators of the installation: lanes and keys. Kept from others by the frame."""

from flask import render_template

from app.console.frame import pages
from app.http.lanes import read_keys, read_lanes


@pages.get("/lanes")
def lanes() -> str:
    """Show what waits and runs in each lane, and who serves it."""
    return render_template("console/lanes.html", lanes=read_lanes())


@pages.get("/keys")
def keys() -> str:
    """Show each provider key's health, use and next free moment."""
    return render_template("console/keys.html", keys=read_keys())
