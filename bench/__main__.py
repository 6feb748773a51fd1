"""`python -m bench [NAME…] [--quick]`: run benchmarks, print their figures, keep them in `bench/results.json`.

Each runs in a process of its own on an installation of its own, one after the other. `--quick` runs them small, to see
that they work; its figures are not kept. Exit code 1 says that a benchmark failed to run, never that a figure fell short.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import report

#: In this order: short ones first.
NAMES = (
    "release",
    "limiter",
    "router",
    "reroute",
    "latency",
    "ingest",
    "verify",
    "lookups",
    "jobs_api",
    "webhooks",
    "polling",
    "viewers",
    "flood",
    "fairness",
    "keys",
    "lanes",
    "lanes_simulated",
)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Laneway.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="small runs; nothing is kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(
            f"there is no benchmark {', '.join(sorted(unknown))}: choose of {', '.join(NAMES)}"
        )
    failed = [name for name in arguments.names or NAMES if not _run(name, quick=arguments.quick)]
    if failed:
        print(f"\nbench: could not be run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, *, quick: bool) -> bool:
    print(f"\n{name}{' (quick)' if quick else ''}", flush=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = [
            sys.executable,
            "-m",
            "bench.one",
            name,
            answer.name,
            *(["--quick"] if quick else []),
        ]
        with subprocess.Popen(command) as process:
            # Ctrl-C reaches the child as well; it stops what it started, and this waits for that.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            terminate = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            try:
                code = process.wait()
            finally:
                signal.signal(signal.SIGINT, before)
                signal.signal(signal.SIGTERM, terminate)
        if code in {-signal.SIGINT, 130}:
            raise SystemExit(130)
        if code != 0:
            return False
        run = json.loads(Path(answer.name).read_text())
    report.show(run["figures"])
    if not quick:
        report.keep(name, run)
    return True


if __name__ == "__main__":
    sys.exit(main())
