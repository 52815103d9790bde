"""GitHub's webhooks as a service forwards them: the deliveries, their CloudEvents, the rules on them, and what is due.

What is due is worked out from the payloads in plain Python, with nothing of the hub's. What the hub
made of it is read from its database by `settled`, which a program in a running hub's environment may call.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5

SAMPLE = Path(__file__).parent / "data" / "github-webhooks.jsonl"
"""A few deliveries in the shape that GitHub documents (https://docs.github.com/webhooks)."""
REAL = Path(__file__).parents[3] / "shared" / "data" / "github-webhooks.jsonl"
"""Hundreds of real ones, where somebody has put them beside the repository."""
FILES = {name: path for name, path in (("sample", SAMPLE), ("real", REAL)) if path.exists()}

BATCH_TYPE = "application/cloudevents-batch+json"
BATCH_EVENTS, BATCH_BYTES = 100, 512 * 1024
PREFIX = "com.github."
RULES: dict[str, dict[str, str]] = {
    "push": {
        "lane": "normal",
        "condition": 'event.data.ref == "refs/heads/" + event.data.repository.default_branch',
        "recipients": "subject",
        "title": "{{ event.data.pusher.name }} pushed to {{ event.data.repository.full_name }}",
    },
    "issues": {
        "lane": "high",
        "condition": 'event.data.action == "opened"',
        "recipients": "ids",
        "recipient_ids": "[event.subject] + event.data.issue.assignees.map(each, each.login)",
        "title": "{{ event.data.repository.full_name }}: {{ event.data.issue.title }}",
    },
    "release": {
        "lane": "normal",
        "condition": 'event.data.action == "published"',
        "recipients": "subject",
        "title": "{{ event.data.repository.full_name }} {{ event.data.release.tag_name }} is out",
    },
}
"""By webhook type: its lane, and the rule that reaches maintainers."""


class Api(Protocol):
    """Somebody who speaks to `/api/v1/` with an API key; an answer that refuses fails the test."""

    def __call__(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        """Return the answer's document."""


@dataclass(frozen=True)
class Delivery:
    """One webhook; `number` is its place in the file."""

    number: int
    type: str
    payload: dict[str, Any]

    @property
    def owner(self) -> str:
        """The login of the repository's owner; empty for what is about no repository."""
        return str(self.payload.get("repository", {}).get("full_name", "")).partition("/")[0]

    def event(self, *, again: str = "") -> dict[str, Any]:
        """Return it as a CloudEvent, always the same; `again` makes it another delivery of the same payload."""
        about = self.payload.get("repository", {}).get("full_name") or "organizations"
        event = {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE_URL, f"{self.number}{again}")),
            "source": f"https://github.com/{about}",
            "type": PREFIX + self.type,
            "datacontenttype": "application/json",
            "data": self.payload,
        }
        return event | ({"subject": self.owner} if self.owner else {})


def read(path: Path) -> list[Delivery]:
    """Return the deliveries of a file, in its order."""
    with path.open(encoding="utf-8") as lines:
        return [Delivery(number, **json.loads(line)) for number, line in enumerate(lines)]


def batches(deliveries: list[Delivery]) -> Iterator[list[dict[str, Any]]]:
    """Yield the deliveries' events in batches that the hub takes."""
    batch: list[dict[str, Any]] = []
    size = 0
    for event in (delivery.event() for delivery in deliveries):
        more = len(json.dumps(event))
        if batch and (len(batch) >= BATCH_EVENTS or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += more
    yield batch


def post(api: Api, deliveries: list[Delivery]) -> Counter[str]:
    """Post deliveries in batches and return how many events were accepted, repeated and rejected."""
    counts: Counter[str] = Counter()
    for batch in batches(deliveries):
        answer = api("POST", "events", batch, kind=BATCH_TYPE)
        counts["accepted"] += answer["accepted"]
        counts["repeated"] += answer["repeated"]
        counts["rejected"] += len(answer["rejected"])
    return +counts


def maintainers(deliveries: list[Delivery]) -> list[str]:
    """Return who signed up: every owner but those that are seen only once."""
    seen = Counter(delivery.owner for delivery in deliveries if delivery.owner)
    return sorted(owner for owner, times in seen.items() if times > 1)


@dataclass
class Due:
    """What is due: decisions by webhook type and reason, and the titles that each maintainer is to read."""

    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    titles: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def notifications(self) -> int:
        return sum(titles.total() for titles in self.titles.values())


def due(deliveries: list[Delivery]) -> Due:
    """Work out what is due from the payloads."""
    found = Due(titles={login: Counter() for login in maintainers(deliveries)})
    for delivery in deliveries:
        if delivery.type not in RULES:
            found.decisions[delivery.type, "no_rule"] += 1
            continue
        heard = told(delivery)
        if heard is None:
            found.decisions[delivery.type, "condition_false"] += 1
            continue
        logins, title = heard
        known = logins & found.titles.keys()
        found.decisions[delivery.type, "forwarded" if known else "unknown_subscriber"] += 1
        for login in known:
            found.titles[login][title] += 1
    return found


def told(delivery: Delivery) -> tuple[set[str], str] | None:
    """Return whom a delivery of a type with a rule is for, and its title; None for what nobody hears of."""
    payload, name = delivery.payload, delivery.payload["repository"]["full_name"]
    if delivery.type == "push":
        branch = payload["repository"]["default_branch"]
        if payload["ref"] == f"refs/heads/{branch}":
            return {delivery.owner}, f"{payload['pusher']['name']} pushed to {name}"
    elif delivery.type == "issues":
        if payload["action"] == "opened":
            assignees = {each["login"] for each in payload["issue"]["assignees"]}
            return {delivery.owner} | assignees, f"{name}: {payload['issue']['title']}"
    elif payload["action"] == "published":
        return {delivery.owner}, f"{name} {payload['release']['tag_name']} is out"
    return None


def set_up(api: Api, deliveries: list[Delivery]) -> None:
    """Make the maintainers, every event type, and the rules with their campaigns."""
    for login in maintainers(deliveries):
        api("PUT", f"subscribers/{login}", {"locale": "en"})
    for name in sorted({delivery.type for delivery in deliveries} | RULES.keys()):
        lane = RULES.get(name, {}).get("lane", "normal")
        api("POST", "event-types", {"name": PREFIX + name, "lane": lane})
    for name, rule in RULES.items():
        content = {"name": f"GitHub {name}", "lane": rule["lane"], "title": rule["title"]}
        campaign = api("POST", "campaigns", content)
        api("POST", f"campaigns/{campaign['id']}/approve")
        deciding = {key: rule[key] for key in ("condition", "recipients", "recipient_ids") if key in rule}
        links = {"name": f"GitHub {name}", "event_type": PREFIX + name, "campaign": campaign["id"]}
        api("POST", "rules", links | deciding)


def settled(*, within: float = 60.0, pause: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Return what the hub's database says of the webhooks, once all are decided and nothing waits.

    It has the number of `events` and of those `decided`, the `decisions` as `[type, reason, number]`,
    the `outcomes` by run, and the `faults` of the runs' balances. Raises `TimeoutError`.
    """
    from django.db.models import Count

    from campaigns.models import Decision, Event
    from delivery import runs
    from delivery.models import Run

    events = Event.objects.filter(type__startswith=PREFIX)
    decisions = Decision.objects.filter(event__in=events)
    deadline = time.monotonic() + within
    while True:
        waiting = events.filter(decided=False).count()
        found = Run.objects.filter(uid__in=decisions.exclude(run=None).values("run"))
        balances = [runs.balances(run) for run in found]
        if not waiting and all(balance.progress.complete for balance in balances):
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"{waiting} events are undecided after {within:g} s; the runs: {balances}")
        pause(0.1)
    reasons = decisions.values_list("event__type", "reason").annotate(Count("pk")).order_by()
    return {
        "events": events.count(),
        "decided": decisions.values("event").distinct().count(),
        "decisions": sorted([name.removeprefix(PREFIX), reason, count] for name, reason, count in reasons),
        "outcomes": {balance.run: balance.progress.outcomes for balance in balances},
        "faults": [fault for balance in balances for fault in balance.faults],
    }
