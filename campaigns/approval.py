"""Approvals: who approved what a campaign says, for which numbers; signed, and void once either has changed.

An application says from how many people on a launch needs an approval, and from how many two. Then nobody approves what
they wrote themselves.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _

from campaigns import triggering
from campaigns.models import Approval, Campaign
from delivery.dryrun import Rehearsal
from delivery.snapshot import Snapshot, digest
from devices import segments
from devices.models import Application
from devices.words import number

DRIFT = 0.1
"""The share by which an audience may grow or shrink before its approvals are void."""

_SALT = "campaigns.approval"


class Standing(NamedTuple):
    """How many approvals a launch needs, which ones hold, and which are void with the reason."""

    needed: int
    valid: list[Approval]
    void: list[tuple[Approval, str]]

    @property
    def complete(self) -> bool:
        return len({one.author for one in self.valid}) >= self.needed

    @property
    def missing(self) -> int:
        return max(0, self.needed - len({one.author for one in self.valid}))


def author_of(by: object) -> str:
    """Return whoever acts as approvals name them: `user:eva`, `key:PREFIX`, or as they are called."""
    name = getattr(by, "get_username", None)
    if name is not None:
        return f"user:{name()}"
    said = str(by)
    return f"key:{said.removeprefix('key ')}" if said.startswith("key ") else said


def needed(application: Application, audience: int) -> int:
    """Return how many people have to approve a campaign to an audience of so many."""
    first, second = application.approval_from, application.second_approval_from
    if second is not None and audience >= second:
        return 2
    return 1 if first is not None and audience >= first else 0


def audience_of(application: Application, snapshot: Snapshot) -> int:
    """Count the people whom a snapshot is for now."""
    return segments.subscribers(application, snapshot.predicate).count()


def digest_of(campaign: Campaign, snapshot: Snapshot) -> str:
    """Return a hash of all that an approval is given for: content, policy, audience's definition, lane and times."""
    said = {
        "snapshot": digest(snapshot),
        "lane": campaign.lane,
        "times": [
            campaign.send_at and campaign.send_at.isoformat(),
            campaign.repeat,
            campaign.repeat_zone,
            campaign.repeat_until and campaign.repeat_until.isoformat(),
        ],
        "event": triggering.said_of(campaign),
    }
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()


def numbers_of(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return what is signed besides the content: people by reason, messages and bytes by provider, duration."""
    return {
        "at": rehearsal.at,
        "audience": rehearsal.audience,
        "told": rehearsal.told,
        "no_device": rehearsal.no_device,
        "stopped": rehearsal.stopped,
        "later": rehearsal.later,
        "messages": rehearsal.messages,
        "seconds": rehearsal.seconds,
        "sampled": rehearsal.sampled,
        "margin": rehearsal.margin,
        "largest_bytes": {name: weight.largest for name, weight in rehearsal.bytes.items()},
    }


def standing(campaign: Campaign, *, digest: str, audience: int) -> Standing:
    """Return which of a campaign's approvals hold for what it says now and an audience of so many people."""
    valid, void = [], []
    for one in campaign.approvals.all()[:20]:
        if reason := _why_void(one, digest=digest, audience=audience):
            void.append((one, reason))
        else:
            valid.append(one)
    return Standing(needed(campaign.application, audience), valid, void)


def refusal(campaign: Campaign, author: str, found: Standing) -> str:
    """Return why somebody may not approve now, empty when they may."""
    if found.needed and author in campaign.authors:
        return _("You wrote what it says. Nobody approves their own: ask another approver.")
    if found.needed and author in {one.author for one in found.valid}:
        return _("You have approved this already; somebody else has to approve it too.")
    return ""


def record(campaign: Campaign, *, digest: str, numbers: dict[str, Any], author: str) -> Approval:
    """Store a signed approval."""
    made = Approval(
        campaign=campaign, digest=digest, numbers=numbers, author=author[:150], created_at=timezone.now()
    )
    made.signature = _signature(made)
    made.save()
    return made


def drifted(before: int, now: int) -> bool:
    """Return whether an audience has changed by more than `DRIFT`."""
    return abs(now - before) > DRIFT * max(before, 1)


def names(found: Sequence[Approval]) -> str:
    """Return who approved, for people."""
    return ", ".join(dict.fromkeys(one.author.partition(":")[2] or one.author for one in found))


def _why_void(one: Approval, *, digest: str, audience: int) -> str:
    if not constant_time_compare(one.signature, _signature(one)):
        return _("its signature does not hold")
    if one.digest != digest:
        return _("the campaign was edited since")
    before = int(one.numbers.get("audience", 0))
    if drifted(before, audience):
        return _("the audience was %(before)s people, now it is %(now)s") % {
            "before": number(before),
            "now": number(audience),
        }
    return ""


def _signature(one: Approval) -> str:
    signed = [
        str(one.campaign.uid),
        one.digest,
        one.author,
        one.created_at.isoformat(),
        msgspec.json.encode(one.numbers, order="deterministic").decode(),
    ]
    return salted_hmac(_SALT, "\n".join(signed), algorithm="sha256").hexdigest()
