"""The API does what its description says: no failure of ours, no status or body that is not described.

Requests are made up from the description, valid ones and broken ones, by schemathesis; the same ones each time.
"""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.factories import make_job, make_person, make_tenant
from tests.integration.http_world import Caller, Web

#: How the libraries that read requests speak; the API has words of its own (`app/refusal_words.py`).
THEIR_WORDS = re.compile(
    "Field required|Value error|(Input|String|List|Set|Dictionary|Data|Value|Tuple) should|Extra inputs|validation error|pydantic"
)


#: A time that is not written in UTC with a Z.
ANOTHER_TIME = re.compile(r"T\d\d:\d\d:\d\d(\.\d+)?(?![\d.Z])")


def times_end_in_z(
    _context: schemathesis.CheckContext,
    response: schemathesis.Response,
    _case: schemathesis.Case,
) -> None:
    """Every time is written in one form."""
    found = ANOTHER_TIME.search(response.text) if response.status_code < 300 else None
    assert found is None, response.text


def words_are_ours(
    _context: schemathesis.CheckContext, response: schemathesis.Response, _case: schemathesis.Case
) -> None:
    """What is refused is refused in the words of the API."""
    if response.status_code in (400, 422):
        found = THEIR_WORDS.search(response.text)
        assert found is None, response.text


EXAMPLES = settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    words_are_ours,
    times_end_in_z,
]


@pytest.fixture(scope="module", params=["admin", "operator", "nobody"])
def somebody(web: Web, request: pytest.FixtureRequest) -> Caller:
    if request.param == "nobody":
        return web.caller()
    tenant = make_tenant()
    make_job(tenant, 4)
    person = make_person(None if request.param == "operator" else tenant, role=request.param)
    return web.caller(person)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_keeps_to_its_description(
    web: Web, somebody: Caller, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", web.app)
    # Streams have no end and need gunicorn: test_events.py.
    schema = schema.exclude(path="/api/enrichment/jobs/events")
    broken = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @EXAMPLES
        @given(case=operation.as_strategy(generation_mode=mode))
        def keeps_to_it(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=somebody.headers, checks=CHECKS)

        try:
            keeps_to_it()
        except Unsatisfiable:
            # A route without anything that could be sent wrongly.
            assert mode is GenerationMode.NEGATIVE
        except (AssertionError, BaseExceptionGroup) as error:
            broken.append(f"{operation.label}\n{error}")
    assert not broken, "\n\n".join(broken)
