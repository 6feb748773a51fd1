"""`make bench` and `python -m bench [NAME…] [--quick]`: measure, print, keep in bench/results.json.

Each benchmark runs on a private installation of its own, one after the other. A whole run replaces the figures of the
benchmarks it named and leaves the others; a quick one keeps nothing. The exit code tells whether all ran, not whether
targets were met.
"""

import argparse
import json
import os
import platform
import sys
import traceback
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.figures import Figure, Scale

NAMES = ("release", "limiter", "latency", "ingest", "verify", "polling", "fairness", "keys")
RESULTS = Path(__file__).parent / "results.json"
PACKAGES = ("celery", "kombu", "redis", "aiohttp", "SQLAlchemy", "dramatiq")


def show(figure: Figure) -> str:
    """Return a figure as a line: ours, the baseline of the same run, the ratio, the target."""
    parts = [f"{figure.name}: {figure.value:,.4g} {figure.unit}"]
    if figure.ratio is not None and figure.baseline is not None:
        parts.append(
            f"{figure.baseline_name} {figure.baseline:,.4g} {figure.unit}, ratio {figure.ratio:.3g}"
        )
    if figure.target is not None:
        verdict = "met" if figure.is_met else "NOT MET"
        parts.append(f"target {figure.target.show(figure.unit)}: {verdict}")
    return "  " + " | ".join(parts)


def keep(name: str, figures: list[Figure]) -> None:
    """Write a benchmark's figures into the results, with what they were measured on."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "figures": [figure.as_json() for figure in figures],
    }
    RESULTS.write_text(json.dumps(results, indent=2, default=str) + "\n")


def main() -> int:
    """Run what the command line names; all without a name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="a quick look; nothing is kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(
            f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}"
        )
    broken = []
    for name in arguments.names or NAMES:
        print(f"{name} …", flush=True)
        try:
            figures = import_module(f"bench.{name}").run(Scale(quick=arguments.quick))
        except Exception:  # noqa: BLE001 - the others still run, and the exit code says that one did not
            traceback.print_exc()
            broken.append(name)
            continue
        for figure in figures:
            print(show(figure), flush=True)
        if not arguments.quick:
            keep(name, figures)
    if broken:
        print(f"Broke off: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
