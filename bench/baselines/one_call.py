"""One verification by the standard library: a connection a thread, kept alive, the answer parsed."""

import json
import os
import threading
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

_kept = threading.local()


def verify(email: str) -> str:
    """Ask the sandbox about one address; return the code of its answer."""
    connection: HTTPConnection | None = getattr(_kept, "connection", None)
    if connection is None:
        place = urlsplit(os.environ["BENCH_URL"])
        connection = _kept.connection = HTTPConnection(place.hostname or "", place.port)
    connection.request("GET", f"/ninja?email={quote(email)}&key={os.environ['BENCH_KEY']}")
    code: str = json.loads(connection.getresponse().read())["code"]
    return code
