"""What is known of one subscriber: devices, presence, preferences, caps and log, from seven reads.

They are: devices, presence, preferences, newest entries, entries that caps count, runs, what waits.
"""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery
from redis.exceptions import RedisError

from campaigns.models import Delayed
from delivery import presence
from delivery.log import body as bodies
from delivery.log.store import log_store
from delivery.models import Run
from delivery.positions import floor, stamp_of
from devices import frequency_caps, freshness
from devices.models import Category, Device, Preference, Subscriber
from devices.wall_time import zone_or

ENTRIES = 20
"""How many of the newest notifications are shown."""
MOST_DEVICES = 50


def overview(subscriber: Subscriber) -> dict[str, Any]:
    """Return what the page shows of a subscriber (with the application); instants are aware datetimes (UTC).

    `online` of a device is None where Redis does not answer. `left` of a cap is how many more notifications
    it lets through now, by what the log holds.
    """
    application = subscriber.application
    now = time.time()
    entries = log_store().newest(subscriber.uid, before=None, limit=ENTRIES * 2)
    caps = frequency_caps.parse(application.caps) if application.caps else ()
    horizon = max((cap.seconds for cap in caps), default=0.0)
    told = list(log_store().since([subscriber.uid], floor(now - horizon))) if caps else []
    runs = _runs({entry.run for entry in entries} | {run for _, _, run, _ in told})
    zone = subscriber.time_zone or application.time_zone
    return {
        "subscriber": subscriber,
        "zone": zone,
        "local_time": datetime.now(zone_or(zone)).time(),
        "locale": subscriber.locale or application.locale,
        "quiet_hours": subscriber.quiet_hours or application.quiet_hours,
        "own_quiet_hours": bool(subscriber.quiet_hours),
        "devices": _devices(subscriber),
        "categories": _categories(subscriber),
        "caps": [_cap(cap, told, runs, now) for cap in caps],
        "log": _entries(entries, runs),
        "waits": _waits(subscriber),
    }


def _waits(subscriber: Subscriber) -> list[dict[str, Any]]:
    rows = Delayed.objects.filter(subscriber=subscriber, state=Delayed.State.WAITING)
    return [
        {
            "at": datetime.fromtimestamp(row.due_at, UTC),
            "event": row.event.type,
            "rule": row.rule.name,
            "unless": row.rule.unless.name if row.rule.unless else "",
            "campaign": row.rule.campaign,
        }
        for row in rows.select_related("event", "rule__unless", "rule__campaign").order_by("due_at")[:ENTRIES]
    ]


def _devices(subscriber: Subscriber) -> list[dict[str, Any]]:
    rows = list(Device.objects.filter(subscriber=subscriber).order_by("-seen_at")[:MOST_DEVICES])
    try:
        lines = presence.online([row.uid.bytes for row in rows])
    except RedisError:
        lines = None
    now = datetime.now(UTC)
    return [
        {
            "device": row,
            "freshness": freshness.freshness(row.seen_at, now),
            "online": None if lines is None else bool(lines[index]),
            "since": None
            if not lines or not lines[index]
            else datetime.fromtimestamp(min(held.since for held in lines[index]), UTC),
        }
        for index, row in enumerate(rows)
    ]


def _categories(subscriber: Subscriber) -> list[dict[str, Any]]:
    chosen = Preference.objects.filter(subscriber=subscriber, category=OuterRef("pk")).values("allowed")[:1]
    rows = Category.objects.filter(application=subscriber.application_id).annotate(chosen=Subquery(chosen))
    return [
        {
            "name": row.name,
            "on": row.chosen if row.chosen is not None else not row.opt_in,
            "chosen": row.chosen is not None,
        }
        for row in rows.order_by("name")
    ]


def _runs(uids: set[UUID]) -> dict[UUID, Run]:
    if not uids:
        return {}
    return {run.uid: run for run in Run.objects.filter(uid__in=uids).select_related("category")}


def _cap(cap: frequency_caps.Cap, told: list[Any], runs: dict[UUID, Run], now: float) -> dict[str, Any]:
    counted = {
        notification
        for _, notification, run, place in told
        if stamp_of(place) > now - cap.seconds and _counts(cap, runs.get(run))
    }
    return {
        "category": cap.category or "",
        "count": cap.count,
        "hours": cap.hours,
        "left": max(0, cap.count - len(counted)),
    }


def _counts(cap: frequency_caps.Cap, run: Run | None) -> bool:
    """Return whether a run's notifications count for a cap, as `delivery.caps` counts them."""
    if run is None or (run.category and run.category.transactional):
        return False
    if run.snapshot.get("policy", {}).get("transactional"):
        return False
    return cap.category is None or bool(run.category and run.category.key == cap.category)


def _entries(entries: list[Any], runs: dict[UUID, Run]) -> list[dict[str, Any]]:
    found: dict[UUID, dict[str, Any]] = {}
    for entry in entries:
        body = bodies.decode(entry.body)
        found.setdefault(
            entry.notification,
            {
                "title": body.content.title or body.content.body[:80],
                "category": body.category,
                "at": datetime.fromtimestamp(stamp_of(entry.position), UTC),
                "run": runs.get(entry.run),
            },
        )
    return list(found.values())[:ENTRIES]
