"""The rules in force, by application and event type, ready to be evaluated; known again for a second."""

import threading
import time
from collections.abc import Iterable
from uuid import UUID

import msgspec
from django.db.models import OuterRef, Subquery
from django.utils.translation import override

from campaigns import reasons
from campaigns.launching import IN_FORCE
from campaigns.models import CampaignVersion, Rule
from campaigns.rules import Expression, RuleError, compile_expression
from delivery.snapshot import Snapshot, from_json
from devices.models import Application, Category

FRESH = 1.0
"""Seconds after which a changed rule is in force at the latest."""


class Ready(msgspec.Struct, frozen=True):
    """A rule ready to be evaluated.

    `fault` says in English why an expression does not compile any more; `snapshot` is of the campaign's
    newest version, None when the campaign is not in force. `origin` is what runs of this version
    of the rule and of its campaign are known by.
    """

    pk: int
    uid: UUID
    version: int
    application: Application
    title: str
    recipients: str
    condition: Expression | None
    recipient_ids: Expression | None
    fault: str
    beyond_sender: bool
    lane: str
    max_age: int
    category: Category | None
    snapshot: Snapshot | None
    origin: str
    delay: int = 0
    once_days: int = 0
    keeps_audience: bool = False

    @property
    def waits(self) -> bool:
        """Whether it lets people in one by one, or tells them later."""
        return bool(self.delay or self.once_days)


class Rulebook(dict[str, list[Ready]]):
    """The rules of one application by event type, in the order they were made.

    `ends` are, by event type, the rules (primary keys) whose waiting an event of it ends.
    """

    def __init__(self) -> None:
        self.ends: dict[str, list[int]] = {}


_known: dict[int, tuple[float, Rulebook]] = {}
_lock = threading.Lock()


def rulebooks(applications: Iterable[int]) -> dict[int, Rulebook]:
    """Return the rules in force of some applications (primary keys), in at most two queries."""
    wanted = set(applications)
    now = time.monotonic()
    with _lock:
        found = {key: book for key in wanted if (book := _fresh(key, now)) is not None}
    missing = wanted - found.keys()
    if missing:
        read = _read(missing)
        with _lock:
            _known.update({key: (now, book) for key, book in read.items()})
        found.update(read)
    return found


def forget() -> None:
    """Read every rule anew next time."""
    with _lock:
        _known.clear()


def _fresh(application: int, now: float) -> Rulebook | None:
    entry = _known.get(application)
    return entry[1] if entry is not None and now - entry[0] < FRESH else None


def _read(applications: set[int]) -> dict[int, Rulebook]:
    newest = (
        CampaignVersion.objects.filter(campaign=OuterRef("campaign")).order_by("-number").values("pk")[:1]
    )
    rules = list(
        Rule.objects.filter(application__in=applications, enabled=True)
        .select_related("application", "event_type", "unless", "campaign__category")
        .annotate(newest=Subquery(newest))
        .order_by("pk")
    )
    in_force = {rule.newest for rule in rules if rule.newest and rule.campaign.state in IN_FORCE}
    versions = CampaignVersion.objects.in_bulk(in_force)
    books = {application: Rulebook() for application in applications}
    for rule in rules:
        with override("en"):  # a fault is kept with decisions
            ready = _ready(rule, versions.get(rule.newest))
        book = books[rule.application_id]
        book.setdefault(rule.event_type.name, []).append(ready)
        if rule.unless is not None:
            book.ends.setdefault(rule.unless.name, []).append(rule.pk)
    return books


def _ready(rule: Rule, version: CampaignVersion | None) -> Ready:
    condition = recipient_ids = None
    fault = ""
    try:
        condition = compile_expression(rule.condition) if rule.condition.strip() else None
        if rule.recipients == Rule.Recipients.IDS:
            recipient_ids = compile_expression(rule.recipient_ids)
    except RuleError as error:
        fault = str(error)
    snapshot = None
    if version is not None:
        try:
            snapshot = msgspec.structs.replace(from_json(version.snapshot), platforms=rule.platforms)
        except msgspec.MsgspecError as error:
            fault = reasons.UNREADABLE % {"version": version.number, "error": error}
    return Ready(
        pk=rule.pk,
        uid=rule.uid,
        version=rule.version,
        application=rule.application,
        title=f"{rule.name}: {rule.campaign.name}",
        recipients=rule.recipients,
        condition=condition,
        recipient_ids=recipient_ids,
        fault=fault,
        beyond_sender=rule.beyond_sender,
        lane=rule.lane,
        max_age=rule.max_age,
        category=rule.campaign.category,
        snapshot=snapshot,
        origin=f"rule:{rule.uid}:v{rule.version}.{version.number if version else 0}",
        delay=rule.delay,
        once_days=rule.once_days,
        keeps_audience=rule.of_campaign,
    )
