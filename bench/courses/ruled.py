"""Events that reach people: a type, an approved campaign, a rule with one condition, and the runs that come of it."""

import time
from typing import Any

from django.conf import settings

from bench.feed import Service
from bench.population import Population
from bench.stand import StandError
from campaigns.models import Event
from delivery import runs
from delivery.models import Run
from notifyhub.demo import hub

PATIENCE = 300.0
"""Seconds after the last arrival in which the hub's own counts must be complete."""


class Ruled:
    """An event type of a lane, with a rule whose campaign tells the event's subject."""

    def __init__(self, people: Population, *, lane: str, name: str, ruled: bool = True) -> None:
        self.kind = f"com.example.bench.{name}"
        self._people = people
        api = hub.Api(people.api_key)
        api.post("event-types/", {"name": self.kind, "lane": lane})
        if not ruled:
            return
        document: dict[str, Any] = {
            "name": f"On {name}",
            "lane": lane,
            "title": "{{ first_name }}, order {{ event.data.order }}",
            "body": "It left for {{ country }} and costs {{ event.data.total }}.",
        }
        if people.category:
            document["category"] = people.category
        campaign = api.post("campaigns/", document)["id"]
        api.post(f"campaigns/{campaign}/approve/", {})
        rule = {"event_type": self.kind, "campaign": campaign, "condition": "event.data.total > 10"}
        api.post("rules/", {"name": f"On {name}", **rule})

    def service(self, threads: int) -> Service:
        """Return a service that may send these events."""
        return Service("127.0.0.1", settings.PORT, self._people.api_key, threads=threads)

    def data(self, number: int) -> dict[str, Any]:
        """Return an event's data, which meets the rule's condition."""
        return {"order": f"A-{number:07}", "total": 11 + number % 90, "items": ["one", "two"]}

    def runs(self) -> list[Run]:
        """Return the standing runs there are (a new one begins with every day)."""
        return list(Run.objects.filter(application=self._people.application, kind=Run.Kind.STANDING))

    def settle(self) -> None:
        """Wait until every event is decided and every message has its outcome; raises `StandError`."""
        until = time.monotonic() + PATIENCE
        undecided = Event.objects.filter(application=self._people.application, decided=False)
        while undecided.exists() or not all(runs.progress(run).complete for run in self.runs()):
            if time.monotonic() > until:
                raise StandError(
                    f"events of {self.kind} are not worked after {PATIENCE:g} s: {undecided.count()} undecided"
                )
            time.sleep(0.2)

    def outcomes(self) -> dict[str, int]:
        """Return the sums of outcomes over the standing runs, with whom policy `stopped` and put off (`deferred`)."""
        sums: dict[str, int] = {}
        for run in self.runs():
            progress = runs.progress(run)
            more = {"stopped": sum(progress.stopped.values()), "deferred": progress.deferred}
            for name, count in {**progress.outcomes, **more}.items():
                sums[name] = sums.get(name, 0) + count
        return {name: count for name, count in sums.items() if count}
