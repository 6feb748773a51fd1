"""The installation that faults strike, a fresh stage for each test, and the table of what they cost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.harness import Stage
from tests.chaos.installation import Installation, run_installation
from tests.conftest import use_environment

COSTS: list[tuple[str, Stage]] = []


@pytest.fixture(scope="session")
def installation(server_home: Path) -> Iterator[Installation]:
    """One installation for all faults; each test finds it emptied and running."""
    home = server_home / "chaos"
    home.mkdir(mode=0o711)
    with run_installation(home) as running:
        yield running


@pytest.fixture
def stage(
    installation: Installation, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Stage]:
    """An empty stage with one client; nothing it started is left."""
    installation.revive()
    with pytest.MonkeyPatch.context() as patch:
        # Keys are encrypted by this process for the workers.
        use_environment(patch, installation.environment())
        stage = Stage(installation, tmp_path)
        try:
            stage.open()
            yield stage
        finally:
            stage.close()
            installation.revive()
        if stage.outcome is not None:
            COSTS.append((request.node.name, stage))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each fault cost."""
    if not COSTS:
        return
    terminalreporter.section("what the faults cost")
    head = f"{'test':58} {'rows':>5} {'repeated':>8} {'allowed':>7} {'resumed':>8} {'completed':>9}"
    terminalreporter.write_line(head)
    for name, stage in COSTS:
        if cost := stage.outcome:
            terminalreporter.write_line(
                f"{name:58} {cost.rows:5} {cost.repeats:8} {cost.allowed:7} "
                f"{cost.resumed_seconds:6.1f} s {cost.completed_seconds:7.1f} s"
            )
