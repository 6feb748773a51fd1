"""Who may call a view is asked before what they send is read: a bad token is told of as such, whatever the body is like.

APIFlask reads a body before the view's own decorators run. So those leave a mark on the view, which is passed on to what wraps
it, and each request goes through the gate of its view first.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, current_app, g, request

P = ParamSpec("P")
R = TypeVar("R")
_MARK = "laneway_gate"


def gate(check: Callable[[], object]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a view be called only by those for whom `check()` raises nothing. Put it below `input` and `output`."""

    def put_up(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            if g.get("passed_gate") is not check:
                check()
            return view(*args, **kwargs)

        setattr(checked, _MARK, check)
        return checked

    return put_up


def register(app: Flask) -> None:
    """Ask at the gate before anything of the request is read."""
    app.before_request(_go_through)


def _go_through() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    check = getattr(view, _MARK, None)
    if check is not None:
        check()
        g.passed_gate = check
