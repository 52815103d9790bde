"""What a benchmark says last: one line of JSON with its figures, its ratios, and whether these reach their goals."""

import json
import statistics
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GOALS_FILE = Path(__file__).parent / "goals.toml"
DELIVERED = 0
"""Exit status: everything that was expected arrived, whether the goals were met or not."""
UNUSABLE = 1
"""Exit status: the benchmark could not run."""
NOT_DELIVERED = 2
"""Exit status: what arrived is not what was expected, so no figure means anything."""


class GoalsError(ValueError):
    """goals.toml says something that cannot be a goal; names the goal and what is wrong."""


@dataclass(frozen=True)
class Goal:
    """A bound on one ratio: at most or at least, and why it is that."""

    at_most: float | None
    at_least: float | None
    reason: str

    def met_by(self, ratio: float) -> bool:
        """Return whether a ratio reaches the goal."""
        below = self.at_most is None or ratio <= self.at_most
        return below and (self.at_least is None or ratio >= self.at_least)

    def as_json(self) -> dict[str, float]:
        """Return the bounds that are set."""
        bounds = {"at_most": self.at_most, "at_least": self.at_least}
        return {name: bound for name, bound in bounds.items() if bound is not None}


def read_goals(bench: str, *, file: Path = GOALS_FILE) -> dict[str, Goal]:
    """Return a benchmark's goals by the name of the ratio they bound; raises `GoalsError`."""
    found: Mapping[str, Mapping[str, Any]] = tomllib.loads(file.read_text()).get(bench, {})
    return {name: _goal(f"{bench}.{name}", values) for name, values in found.items()}


def _goal(name: str, values: Mapping[str, Any]) -> Goal:
    if unknown := values.keys() - {"at_most", "at_least", "reason"}:
        raise GoalsError(
            f"goals.toml, {name}: {', '.join(sorted(unknown))} is none of at_most, at_least, reason"
        )
    if not {"at_most", "at_least"} & values.keys():
        raise GoalsError(f"goals.toml, {name}: say at_most or at_least")
    if not str(values.get("reason", "")).strip():
        raise GoalsError(f"goals.toml, {name}: a goal needs a reason")
    return Goal(values.get("at_most"), values.get("at_least"), " ".join(values["reason"].split()))


def line(
    bench: str, *, figures: Mapping[str, Any], ratios: Mapping[str, float], goals: Mapping[str, Goal]
) -> str:
    """Return the line. `met` needs every goal whose ratio was measured, and at least one of them."""
    measured = {name: goal for name, goal in goals.items() if name in ratios}
    return json.dumps(
        {
            "bench": bench,
            "figures": figures,
            "ratios": {name: _short(ratio) for name, ratio in ratios.items()},
            "goals": {name: goal.as_json() for name, goal in measured.items()},
            "met": bool(measured) and all(goal.met_by(ratios[name]) for name, goal in measured.items()),
        }
    )


def middle(values: Iterable[float]) -> float:
    """Return the median, to four digits."""
    return _short(statistics.median(values))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
