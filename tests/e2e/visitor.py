"""A person in front of the browser: what they do, and what must never happen meanwhile."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect

from tests.e2e.product import PASSWORD, Client

#: The longest that any one thing may take on a busy machine; conditions are waited for, not times.
PATIENCE_MS = 45_000
JOB_ADDRESS = re.compile(r"/jobs/[0-9a-f-]{36}$")

_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@dataclass
class Visitor:
    """One tab. `faults` collects what makes any test fail: policy violations, script errors, foreign addresses."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script(_REPORT_VIOLATIONS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        # A refused request is the test's own affair; it looks at what the page says about it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"foreign: {request.url}")

    def go(self, path: str) -> None:
        """Open a page of the product."""
        self.page.goto(self.url + path)

    def sign_in(self, email: str, password: str = PASSWORD) -> None:
        """Sign in through the form."""
        self.go("/login")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()

    def visit(self, client: Client) -> None:
        """Sign in as a client's person and be on the list of jobs."""
        self.sign_in(client.email)
        expect(self.page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()

    def choose(self, file: Path) -> None:
        """Choose a file on the upload page and wait for what is said about it."""
        self.go("/upload")
        self.page.get_by_label("Choose the file").set_input_files(file)
        expect(self.page.locator("#preview")).to_be_visible(timeout=PATIENCE_MS)

    def send(self) -> str:
        """Send the chosen file and return the path of its job's page."""
        self.page.locator("#send").click()
        self.page.wait_for_url(JOB_ADDRESS)
        return self.page.url.removeprefix(self.url)

    def upload(self, file: Path) -> str:
        """Choose, send, and be on the job's page; return its path."""
        self.choose(file)
        return self.send()

    def status(self, word: str) -> Locator:
        """The state of the job whose page is open."""
        return self.page.locator("#state").get_by_text(word, exact=True)

    def wait_for_status(self, word: str) -> None:
        """Wait until the open job's page says so by itself."""
        expect(self.status(word)).to_be_visible(timeout=PATIENCE_MS)
