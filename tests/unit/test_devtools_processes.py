"""Children of the developer's tools: they start, say when they are ready, and never outlive the runner."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from devtools.errors import SetupError
from devtools.leash import uninterrupted
from devtools.processes import Process
from devtools.supervisor import Supervisor, run

ROOT = Path(__file__).parents[2]
#: A parent with a child of its own that ignores every polite request.
STUBBORN = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; [signal.signal(n, signal.SIG_IGN) "
    "for n in (signal.SIGTERM, signal.SIGINT)]; print('ready', flush=True); time.sleep(300)"])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(300)
"""


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def python(tmp_path: Path, code: str, name: str = "child") -> Process:
    return Process(name, [sys.executable, "-c", code], tmp_path / f"{name}.log")


def test_an_early_death_is_reported_with_the_end_of_the_log(tmp_path: Path) -> None:
    process = python(tmp_path, "print('no such table'); raise SystemExit(3)")
    process.start()
    with pytest.raises(SetupError, match=r"ended early with code 3[\s\S]*no such table"):
        process.wait_until(lambda: False, seconds=20)


def test_what_is_late_is_reported_by_name(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        process = supervisor.start(python(tmp_path, "import time; time.sleep(300)"))
        with pytest.raises(SetupError, match="child was not ready within 0 s"):
            process.wait_until(lambda: False, seconds=0.1)


def test_a_missing_program_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="child could not be started"):
        Process("child", [tmp_path / "missing"], tmp_path / "log").start()


def test_stopping_ends_the_whole_family_even_when_it_refuses(tmp_path: Path) -> None:
    process = python(tmp_path, STUBBORN)
    process.start()
    process.wait_until(lambda: "ready" in process.tail(), seconds=20)
    family = [process.pid, *(found.pid for found in psutil.Process(process.pid).children())]
    process.stop(grace_seconds=0.2)
    assert len(family) == 2
    wait_for(lambda: all(is_gone(pid) for pid in family))


def test_a_frozen_child_is_woken_to_stop(tmp_path: Path) -> None:
    process = python(tmp_path, "import time; print('ready', flush=True); time.sleep(300)")
    process.start()
    process.wait_until(lambda: "ready" in process.tail(), seconds=20)
    process.send_group(signal.SIGSTOP)
    process.stop()
    assert process.returncode == -signal.SIGTERM


def test_run_returns_what_was_written_and_raises_on_failure(tmp_path: Path) -> None:
    assert run(python(tmp_path, "print('done')"), seconds=20) == "done"
    with pytest.raises(SetupError, match="failed with code 1"):
        run(python(tmp_path, "raise SystemExit(1)"), seconds=20)


def test_the_supervisor_notices_who_has_ended(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        process = supervisor.start(python(tmp_path, "pass"))
        wait_for(lambda: not process.is_running)
        with pytest.raises(SetupError, match="child ended with code 0"):
            supervisor.check()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_runner(tmp_path: Path, number: signal.Signals) -> None:
    code = textwrap.dedent(f"""
        import signal, sys, time
        from pathlib import Path
        from devtools.processes import Process
        # A shell's background job begins with SIGINT ignored, and so do its children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        process = Process("child", [sys.executable, "-c", {STUBBORN!r}], Path({str(tmp_path)!r}) / "log")
        process.start()
        process.wait_until(lambda: "ready" in process.tail(), seconds=20)
        print(process.pid, flush=True)
        time.sleep(300)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=os.environ | {"LANEWAY_KEEPER_GRACE_SECONDS": "0.5"},
    ) as runner:
        assert runner.stdout is not None
        parent = int(runner.stdout.readline())
        family = [parent, *(found.pid for found in psutil.Process(parent).children())]
        assert len(family) == 2
        runner.send_signal(number)
    wait_for(lambda: all(is_gone(pid) for pid in family))


@pytest.fixture
def _hears_sigint() -> Iterator[None]:
    """A shell's background job begins with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_hears_sigint")
def test_an_interruption_waits_for_the_block_to_end() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the order inside of the block is the point
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            steps.append("inside")
        steps.append("after")
    assert steps == ["inside"]
