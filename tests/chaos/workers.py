"""Real worker processes that can be killed, frozen and stopped, each with a process group of its own."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from devtools.processes import Process
from tests.conftest import ROOT

#: Time for `celery worker` to come up on a busy machine.
START_SECONDS = 60.0
VERIFICATION = ("-P", "threads", "-Q", "verification-queue")
INGEST = ("-P", "prefork", "-Q", "enrichment-job-creation")


class Worker:
    """`celery -A … worker` under a name. `app` is the module that Celery loads, `launcher` what stands for `celery`."""

    def __init__(
        self,
        name: str,
        env: Mapping[str, str],
        log: Path,
        *,
        lane: tuple[str, ...] = VERIFICATION,
        slots: int = 8,
        app: str = "celery_config",
        launcher: tuple[str, ...] = ("celery",),
    ) -> None:
        self.name = name
        command = [sys.executable, "-m", *launcher, "-A", app, "worker", *lane, "-c", str(slots)]
        command += ["-n", f"{name}@%h", "--without-gossip", "--without-mingle", "-E"]
        self.process = Process(name=name, argv=command, log=log, env=env, cwd=ROOT)

    @property
    def pid(self) -> int:
        """The worker's main process."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether it runs; a frozen one does."""
        return self.process.is_running

    def log(self) -> str:
        """All that it has said."""
        return self.process.log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, or start it again."""
        self.process.start()

    def kill(self) -> None:
        """`kill -9` to the whole group; it is reaped when this returns."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop the whole group as a paging or overloaded host would."""
        self.process.send_group(signal.SIGSTOP)

    def wake(self) -> None:
        """Let a frozen group go on."""
        self.process.send_group(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """SIGTERM, as a deployment sends it."""
        self.process.request_stop()
