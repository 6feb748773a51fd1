"""The processes of the demo: the same commands as in Procfile and Procfile.worker, with small pools."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from devtools.demo_clients import ACME, CLIENTS, PLATFORM_KEYS, Key
from devtools.demo_options import ROOT, Options, Secrets
from devtools.private_files import write_private
from devtools.processes import Process
from routing import queues

READY_SECONDS = 90.0
WORKER = ["-m", "celery", "-A", "celery_config", "worker"]
WORKER_FLAGS = ["--without-gossip", "--without-mingle", "-E"]
LATENCY_MS = [40, 160]


class Services:
    """Makes the processes of one demo from its options, secrets and servers."""

    def __init__(
        self, options: Options, secrets: Secrets, environment: Mapping[str, str], sandbox_port: int
    ) -> None:
        self._options = options
        self._secrets = secrets
        self._environment = environment
        self._sandbox_port = sandbox_port

    def sandbox(self) -> Process:
        """The simulated provider, which knows the demo's keys and their limits."""
        path = self._options.home / "sandbox.json"
        keys = [*PLATFORM_KEYS, *(key for client in CLIENTS for key in client.keys)]
        write_private(
            path,
            {"keys": [_as_sandbox_key(key) for key in keys], "mode": {"latency_ms": LATENCY_MS}},
        )
        port = str(self._sandbox_port)
        return self._python(
            "sandbox", ["-m", "sandbox", "--prompt", "--port", port, "--config", str(path)]
        )

    def web(self) -> Process:
        """Pages and API."""
        arguments = [
            "-m",
            "gunicorn",
            "app.factory:create_app()",
            "--worker-class",
            "app.http.worker.PatientWorker",
        ]
        arguments += ["--workers", "2", "--threads", "16", "--graceful-timeout", "10"]
        # gunicorn would believe what anybody on this machine says about proxies; TRUSTED_PROXIES decides.
        arguments += ["--forwarded-allow-ips", ""]
        # Empty at each start: what processes of the last run counted is gone with them.
        metrics = self._options.home / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir()
        arguments += ["--bind", f"127.0.0.1:{self._options.port}"]
        return self._python("web", arguments, {"PROMETHEUS_MULTIPROC_DIR": str(metrics)})

    def workers(self, dedicated_client_id: str) -> list[Process]:
        """Ingest, the shared lanes, and one client's own worker."""
        shared = f"{queues.VERIFICATION},{queues.MAINTENANCE}"
        return [
            self._worker("ingest", ["-Q", queues.INGEST, "-P", "prefork", "-c", "2"]),
            self._worker("verification", ["-Q", shared, "-P", "threads", "-c", "64"]),
            self._worker("enrichment", ["-Q", queues.ENRICHMENT, "-P", "threads", "-c", "64"]),
            self._worker("webhooks", ["-Q", queues.WEBHOOKS, "-P", "threads", "-c", "16"]),
            self._worker(
                "verification-acme",
                ["-P", "threads", "-c", "16"],
                {
                    "WORKER_MODE": "dedicated",
                    "DEDICATED_CLIENT_ID": dedicated_client_id,
                    "VERIFICATION_QUEUE": ACME.queue or "",
                    "MAILTESTER_API_KEYS": ",".join(key.secret for key in ACME.keys),
                    "MAILTESTER_KEY_SPACINGS": ",".join(str(key.spacing_ms) for key in ACME.keys),
                    "MAILTESTER_KEY_DAILY_LIMITS": ",".join(str(key.daily) for key in ACME.keys),
                    "MAILTESTER_KEY_REQUESTS_PER_30S": ",".join(
                        str(key.per_30s) for key in ACME.keys
                    ),
                },
            ),
        ]

    def beat(self) -> Process:
        """The clock."""
        return self._python("beat", ["-m", "celery", "-A", "celery_config", "beat"])

    def flower(self) -> Process:
        """Flower, behind a password that stands in no argument list."""
        arguments = ["-m", "celery", "-A", "celery_config", "flower", "--address=127.0.0.1"]
        arguments += [f"--port={self._options.flower_port}"]
        # The arguments say whose work it is: tenant and job.
        arguments += ["--tasks-columns=name,kwargs,state,received,started,runtime,worker"]
        login = f"operator:{self._secrets.flower_password}"
        return self._python("flower", arguments, {"FLOWER_BASIC_AUTH": login})

    def _worker(
        self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None
    ) -> Process:
        argv = [*WORKER, *arguments, "-n", f"{name}@%h", *WORKER_FLAGS]
        return self._python(name, argv, environment)

    def _python(
        self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None
    ) -> Process:
        return Process(
            name=name,
            argv=[sys.executable, *arguments],
            log=self._log(name),
            env={**self._environment, **(environment or {})},
            cwd=ROOT,
        )

    def _log(self, name: str) -> Path:
        return self._options.home / "logs" / f"{name}.log"


def _as_sandbox_key(key: Key) -> dict[str, object]:
    return {
        "key": key.secret,
        "spacing_ms": key.spacing_ms,
        "windows": [[key.per_30s, 30_000]],
        "daily_limit": key.daily,
    }
