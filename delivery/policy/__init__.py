"""The planner: who of a page may be told now, who later, and who not at all, and why. Pure."""

from delivery.policy.planner import STAGES, Plan, plan
from delivery.policy.verdicts import Candidate, Circumstances, Defer, Drop, Stage, Verdict, each, zone_of

__all__ = [
    "STAGES",
    "Candidate",
    "Circumstances",
    "Defer",
    "Drop",
    "Plan",
    "Stage",
    "Verdict",
    "each",
    "plan",
    "zone_of",
]
