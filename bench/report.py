"""What a course measured: frozen values, written by its process and read by the benchmark's command."""

import msgspec

from bench import others
from bench.baseline import Sent


class Turn(msgspec.Struct, frozen=True):
    """One round: a campaign to everybody by us, then the same FCM and APNs messages by the baseline.

    `expected` messages are to arrive: what waits in the log for a WebSocket that is not there does not. `seconds` run
    from the launch's request to the fleet's last acceptance, `first_phone` to its first one over FCM or APNs,
    `all_seconds` to the last outcome. CPU is in seconds, by part of the hub and by server; `fleet_cpu` is what the
    fleet used in our half. `faults` are sentences about balances that do not hold.
    """

    expected: int
    delivered: int
    outcomes: dict[str, int]
    repeats: int
    seconds: float
    first_phone: float
    all_seconds: float
    cpu: dict[str, float]
    server_cpu: dict[str, float]
    fleet_cpu: float
    baseline_delivered: int
    baseline: Sent
    faults: list[str]


class Report(msgspec.Struct, frozen=True):
    """What the rounds of one size came to."""

    size: str
    devices: int
    by_provider: dict[str, int]
    online: int
    connect_seconds: float
    turns: list[Turn]
    others: dict[str, others.Sent] = {}
