"""What a course measured: frozen values, written by its process and read by the benchmark's command."""

import msgspec

from bench.baseline import Sent
from bench.others import Sent as OtherSent


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign to everybody, by us.

    `expected` messages are to arrive: what waits in the log for a WebSocket that is not there does not. `seconds` run
    from the launch's request to the fleet's last acceptance, `first_phone` to its first one over FCM or APNs,
    `all_seconds` to the last outcome. CPU is in seconds, by part of the hub and by server; `fleet_cpu` is the
    fleet's, `elsewhere` the share of the machine's CPU that other programs had meanwhile. `faults` are sentences about
    balances that do not hold.
    """

    devices: int
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
    elsewhere: float
    faults: list[str]

    @property
    def cpu_ms(self) -> float:
        """Our processes' CPU milliseconds per 1,000 devices."""
        return sum(self.cpu.values()) / self.devices * 1e6

    @property
    def server_cpu_ms(self) -> float:
        """The servers' CPU milliseconds per 1,000 devices."""
        return sum(self.server_cpu.values()) / self.devices * 1e6

    @property
    def rate(self) -> float:
        """Messages that arrived a second."""
        return self.delivered / self.seconds


class Turn(Ours, frozen=True, kw_only=True):
    """One round: ours, then the same FCM and APNs messages by the baseline."""

    baseline_delivered: int
    baseline: Sent


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the rounds of one size came to; `others` are the senders beside us by name."""

    size: str
    by_provider: dict[str, int]
    online: int
    connect_seconds: float
    turns: list[Turn]
    others: dict[str, OtherSent] = {}

    @property
    def outside(self) -> int:
        """How many messages the baseline has to send."""
        return self.by_provider["fcm"] + self.by_provider["apns"]


class Memory(msgspec.Struct, frozen=True, array_like=True):
    """Resident bytes of every process of ours, by part and process id, when so many messages had arrived."""

    arrived: int
    resident: dict[str, int]


class Counted(Ours, frozen=True, kw_only=True):
    """A campaign during which the servers counted what they were asked (`bench.counters`), and memory was watched."""

    pages: int
    parcels: int
    asked: dict[str, int]
    statements: dict[str, int]
    memory: list[Memory]


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """Campaigns to few, and one to very many, in one database; as large a share of the WebSockets is open in both."""

    online: int
    small_online: int
    connect_seconds: float
    populate_seconds: float
    small: list[Counted]
    large: Counted


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Events that were sent in batches until all they led to was done.

    `accept_seconds` until the last was accepted, `seconds` until the last message arrived. CPU is in
    seconds by part and by server; `asked` is what the servers counted (`bench.counters`).
    """

    events: int
    expected: int
    delivered: int
    outcomes: dict[str, int]
    repeats: int
    accept_seconds: float
    seconds: float
    cpu: dict[str, float]
    server_cpu: dict[str, float]
    asked: dict[str, int]
    faults: list[str]

    @property
    def cpu_ms(self) -> float:
        """Our processes' CPU milliseconds per 1,000 events."""
        return sum(self.cpu.values()) / self.events * 1e6

    @property
    def server_cpu_ms(self) -> float:
        """The servers' CPU milliseconds per 1,000 events."""
        return sum(self.server_cpu.values()) / self.events * 1e6


class EventsTurn(msgspec.Struct, frozen=True):
    """One round: a campaign to everybody, events that no rule wants, and an event for everybody."""

    fanout: Ours
    intake: Flow
    events: Flow


class EventsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the rounds came to."""

    by_provider: dict[str, int]
    online: int
    connect_seconds: float
    turns: list[EventsTurn]


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of critical events. All are seconds from the instant that the timetable said.

    `seconds` until an event was at its device, by transport; `answered` until the API had accepted it; `late`
    until the service had sent it, which is no fault of the hub's. `cpu` is in seconds meanwhile, by part and by server,
    for whatever else went on as well.
    """

    expected: int
    arrived: int
    seconds: dict[str, list[float]]
    answered: list[float]
    late: list[float]
    cpu: dict[str, float]
    server_cpu: dict[str, float]


class LanesReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the lanes came to: rates are messages a second, the second application's runs are in seconds."""

    size: str
    online: int
    connect_seconds: float
    idle: Ages
    busy: Ages
    bulk_rate_alone: float
    bulk_rate_busy: float
    bulk_runs: int
    second_alone: list[float]
    second_busy: list[float]
    faults: list[str]
