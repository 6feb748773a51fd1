"""`python -m bench.one NAME ANSWER [--quick]`: run one benchmark and write its figures to the file ANSWER, as JSON."""

import importlib
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench.figures import Scale
from bench.machine import describe
from devtools.errors import SetupError


def leave(_number: int, _frame: FrameType | None) -> None:
    """Leave as Ctrl-C does: with everything stopped that was started."""
    raise KeyboardInterrupt


def main() -> int:
    """Run it; 130 when it was interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    name, answer, *flags = sys.argv[1:]
    load_before = os.getloadavg()[0]
    try:
        figures = importlib.import_module(f"bench.{name}").run(Scale(quick="--quick" in flags))
    except KeyboardInterrupt:
        return 130
    except SetupError as error:
        print(f"  {error}", file=sys.stderr)
        return 1
    run = {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": round(load_before, 2),
        "machine": describe(),
        "figures": [figure.as_json() for figure in figures],
    }
    Path(answer).write_text(json.dumps(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
