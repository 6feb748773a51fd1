"""The dashboard of jobs: a frame that scripts fill from the API and keep live over the stream of events.

What is here is what the scripts can't know: addresses, and the words for states and types.
"""

from flask import redirect, render_template
from flask.typing import ResponseReturnValue

from app.console.frame import pages
from app.console.job_names import KINDS
from app.console.sign_in import home_of
from app.http.auth import require_account

#: Tabs: (status, label); those that people look for first.
TABS = (
    ("", "All"),
    ("processing", "Running"),
    ("pending", "Queued"),
    ("retrying", "Retrying"),
    ("waiting", "Waiting"),
    ("scheduled", "Scheduled"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("dead_letter", "Given up"),
    ("cancelled", "Cancelled"),
)


@pages.get("/dashboard")
def dashboard() -> ResponseReturnValue:
    """Show the client's jobs live. An operator without a client begins with the lanes."""
    account = require_account()
    if account.tenant_id is None:
        return redirect(home_of(account))
    return render_template("console/dashboard.html", kinds=KINDS, tabs=TABS)
