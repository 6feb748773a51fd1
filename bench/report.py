"""Shows figures in the terminal and keeps them: `bench/results.json` holds the latest whole run of each benchmark."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
_MARKS = {True: "met", False: "NOT MET", None: ""}


def show(figures: list[dict[str, Any]]) -> None:
    """Print one block a figure: ours, the baseline of the same run, the ratio, the target, and whether it is met."""
    for figure in figures:
        line = f"  {figure['name']:<22} {_number(figure['value'])} {figure['unit']}"
        if figure["baseline"] is not None:
            line += f"   against {_number(figure['baseline'])} ({figure['baseline_name']})"
            line += f"   ratio {figure['ratio']:.2f}"
        if figure["target"]:
            line += f"   target {figure['target']}: {_MARKS[figure['met']]}"
        print(line)
        for name, value in figure["notes"].items():
            print(f"  {'':<22} {name} = {value}")


def keep(name: str, run: dict[str, Any]) -> None:
    """Put a run in the place of the one before of the same benchmark."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[name] = run
    RESULTS.write_text(json.dumps(dict(sorted(kept.items())), indent=2, ensure_ascii=False) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}".rstrip("0").rstrip(".")
