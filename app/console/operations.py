"""Pages for operators of the installation: lanes and keys. Kept from others by the frame."""

from flask import render_template

from app.console.frame import pages
from app.http.lanes import read_keys, read_lanes, read_shared_parts


@pages.get("/lanes")
def lanes() -> str:
    """Show what waits and runs in each lane, who serves it, what it wants, and who had how much of the shared one."""
    return render_template("console/lanes.html", lanes=read_lanes(), parts=read_shared_parts())


@pages.get("/keys")
def keys() -> str:
    """Show each provider key's health, use and next free moment."""
    return render_template("console/keys.html", keys=read_keys())
