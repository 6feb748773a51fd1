"""What a benchmark answers: figures, each with its baseline of the same run, its target and a verdict."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Target:
    """A bound on a figure's value, or on its ratio to the baseline."""

    bound: float
    at: Literal["least", "most"] = "least"
    of: Literal["value", "ratio"] = "value"

    def is_met(self, figure: "Figure") -> bool:
        """Judge a figure. Raises `ValueError` for a ratio without a baseline."""
        found = figure.value if self.of == "value" else figure.ratio
        if found is None:
            raise ValueError(f"{figure.name} has no baseline to compare with")
        return found >= self.bound if self.at == "least" else found <= self.bound

    def show(self, unit: str) -> str:
        """Put it into words."""
        sign = "≥" if self.at == "least" else "≤"
        return f"{sign} {self.bound:g} {'x' if self.of == 'ratio' else unit}".rstrip()


@dataclass(frozen=True)
class Figure:
    """One measured number. `notes` are further numbers and conditions that explain it."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    target: Target | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours over the baseline."""
        return self.value / self.baseline if self.baseline else None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.target is None else self.target.is_met(self)

    def as_json(self) -> dict[str, Any]:
        """Return it for `results.json`."""
        target = self.target.show(self.unit) if self.target else None
        return {**asdict(self), "target": target, "ratio": _short(self.ratio), "met": self.is_met}


@dataclass(frozen=True)
class Scale:
    """How much to run: whole, or a quick look whose figures are not kept."""

    quick: bool = False

    def pick(self, whole: int, quick: int) -> int:
        """Return the size for this scale."""
        return quick if self.quick else whole


def _short(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of all values do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]
