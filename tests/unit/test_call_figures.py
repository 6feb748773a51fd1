"""How calls went, as a process counts it, and that it goes on counting."""

from uuid import uuid4

from app.work.call_figures import CallFigures, place_of

TENANT = uuid4()


def test_calls_errors_and_times_are_counted_by_client_and_provider() -> None:
    figures = CallFigures()
    figures.add(TENANT, "apollo", 8.0, is_error=False)
    figures.add(TENANT, "apollo", 8.0, is_error=True)
    figures.add(TENANT, "hunter", 1.0, is_error=False)
    taken = figures.take()
    told = taken[TENANT, "apollo"]
    assert (told.calls, told.errors, told.took) == (2, 1, {place_of(8.0): 2})
    assert taken[TENANT, "hunter"].errors == 0
    assert figures.take() == {}


def test_what_could_not_be_written_is_counted_with_what_came_since() -> None:
    figures = CallFigures()
    figures.add(TENANT, "apollo", 8.0, is_error=True)
    taken = figures.take()
    figures.add(TENANT, "apollo", 8.0, is_error=True)
    figures.give_back(taken)
    assert figures.take()[TENANT, "apollo"].errors == 2
