"""What stands before a launch as a document of the API: the same as the admin's page *Check and launch* says."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rest_framework import serializers

from campaigns import approval, launching, preflight
from campaigns.preflight import Canary, Preflight, Warning
from devices.strictness import StrictSerializer


class SeenSerializer(StrictSerializer):
    """What somebody acts on; with nothing it is what the campaign says now, and its numbers now."""

    seen = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=20_000,
        help_text="As preflight gave it, within the hour: refused when it says something else by now.",
    )


class LaunchSerializer(SeenSerializer):
    """A launch to everybody, or to a share of them first."""

    canary = serializers.IntegerField(
        min_value=0,
        max_value=launching.MOST_CANARY,
        required=False,
        default=0,
        help_text="Per cent of the people who are told first; the others when `go-on` says so. 0: all at once.",
    )


class FoundSerializer(serializers.Serializer[Any]):
    """Something before a launch: where it stands in the campaign (empty: it is about the whole), and a sentence."""

    pointer = serializers.CharField(allow_blank=True)
    detail = serializers.CharField()


class WeightSerializer(serializers.Serializer[Any]):
    """Payload bytes: all together, of one on average, of the largest; and how many do not fit as they are."""

    total = serializers.IntegerField()
    mean = serializers.IntegerField()
    largest = serializers.IntegerField()
    limit = serializers.IntegerField(help_text="What the provider takes; 0: as much as one likes.")
    weighed = serializers.IntegerField()
    shortened = serializers.IntegerField(help_text="Of the weighed: their text will be cut.")
    too_large = serializers.IntegerField(help_text="Of the weighed: will not be sent.")


class SampleSerializer(serializers.Serializer[Any]):
    """What one person would read."""

    external_id = serializers.CharField()
    locale = serializers.CharField()
    title = serializers.CharField()
    body = serializers.CharField()


class _Counts(serializers.Serializer[Any]):
    """What a dry run counts, in people; `messages` in devices."""

    audience = serializers.IntegerField()
    told = serializers.IntegerField()
    no_device = serializers.IntegerField()
    stopped = serializers.DictField(child=serializers.IntegerField())
    later = serializers.DictField(child=serializers.IntegerField())
    messages = serializers.DictField(child=serializers.IntegerField())
    sampled = serializers.BooleanField()
    margin = serializers.FloatField()
    seconds = serializers.FloatField(help_text="How long the throttle makes it take; 0 without one.")


class RehearsalSerializer(_Counts):
    """What the launch would come to, in people; `messages` in devices. `audience` = `told` + `stopped` + `later`.

    Large audiences are `sampled`: every share is right to within `margin` (of 1), 19 times of 20.
    """

    at = serializers.DateTimeField()
    looked_at = serializers.IntegerField()
    bytes = serializers.DictField(child=WeightSerializer())
    samples = SampleSerializer(many=True)
    caps_counted = serializers.BooleanField()
    hours = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="With a best hour: people by that hour of their own clock, as 09.",
    )
    audience_margin = serializers.IntegerField(help_text="0: the audience was counted.")


class NumbersSerializer(_Counts):
    """What an approval signs besides the content: the dry run's counts when it was given."""

    at = serializers.FloatField(help_text="Seconds since 1970: the instant that was rehearsed.")
    largest_bytes = serializers.DictField(child=serializers.IntegerField())


class ApprovalSerializer(serializers.Serializer[Any]):
    """An approval: by whom, when, for which numbers; and why it does not hold any more, if so."""

    by = serializers.CharField(help_text="user:NAME or key:PREFIX.")
    at = serializers.DateTimeField()
    numbers = NumbersSerializer()
    void = serializers.CharField(allow_null=True, help_text="Why it does not hold; null: it holds.")


class StandingSerializer(serializers.Serializer[Any]):
    """Whether a launch is approved: how many people have to, how many are missing, and who has."""

    needed = serializers.IntegerField()
    missing = serializers.IntegerField()
    complete = serializers.BooleanField()
    approvals = ApprovalSerializer(many=True)
    refusal = serializers.CharField(allow_blank=True, help_text="Why this key may not approve it now.")


class CanarySerializer(serializers.Serializer[Any]):
    """A canary that waits for `go-on` or `stop-canary`, and how it went so far."""

    percent = serializers.IntegerField()
    run = serializers.UUIDField()
    told = serializers.IntegerField(help_text="People.")
    messages = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="Of the messages.")
    failed = serializers.IntegerField(help_text="Of the messages.")
    reasons = serializers.DictField(
        child=serializers.IntegerField(), help_text="Messages by what their outcome says, as runs have it."
    )
    opted_out = serializers.IntegerField(help_text="Of its people, since.")
    compares = serializers.BooleanField(
        help_text="Whether its people were told the variants of an experiment."
    )
    winner = serializers.CharField(
        allow_blank=True,
        help_text="The variant that the others will be told alone; empty: they are told as these.",
    )


class PreflightSerializer(serializers.Serializer[Any]):
    """Whom a launch would reach now: people, those with consent, and their devices by provider.

    With `problems` nothing can be launched; `warnings` are things to think about, `notes` are good to know. `approval`
    is null while the campaign does not hold together.
    """

    ready = serializers.BooleanField()
    problems = FoundSerializer(many=True)
    warnings = FoundSerializer(many=True)
    notes = FoundSerializer(many=True)
    subscribers = serializers.IntegerField()
    consenting = serializers.IntegerField()
    devices = serializers.DictField(child=serializers.IntegerField())
    dry_run = RehearsalSerializer(allow_null=True)
    approval = StandingSerializer(allow_null=True)
    digest = serializers.CharField(
        allow_blank=True, help_text="Of all that an approval is given for; another one after an edit."
    )
    seen = serializers.CharField(
        allow_blank=True,
        help_text="For approve and launch: these numbers and this text; empty with problems.",
    )
    canary = CanarySerializer(allow_null=True, help_text="Null: none waits.")


def as_document(found: Preflight, author: str) -> dict[str, Any]:
    """Return a preflight as JSON values; `author` is who asks, as approvals name them."""
    return {
        "ready": not found.problems,
        "problems": _listed(found.problems),
        "warnings": _listed(found.warnings),
        "notes": _listed(found.notes),
        "dry_run": _rehearsed(found),
        "approval": _standing(found, author),
        "digest": found.digest,
        "seen": found.seal,
        "canary": _canary(preflight.canary_of(found.campaign)),
    }


def _listed(found: Sequence[Warning]) -> list[dict[str, str]]:
    return [{"pointer": one.pointer, "detail": one.text} for one in found]


def _canary(found: Canary | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "percent": found.version.canary,
        "run": found.run.uid,
        "told": found.progress.logged,
        "messages": found.progress.messages,
        "waiting": found.progress.waiting,
        "failed": found.progress.outcomes.get("failed", 0),
        "reasons": found.progress.reasons,
        "opted_out": found.opted_out,
        "compares": found.experiment is not None,
        "winner": found.winner,
    }


def _rehearsed(found: Preflight) -> dict[str, Any] | None:
    if found.rehearsal is None:
        return None
    at = datetime.fromtimestamp(found.rehearsal.at, UTC).isoformat().replace("+00:00", "Z")
    return {**msgspec.to_builtins(found.rehearsal), "at": at}


def _standing(found: Preflight, author: str) -> dict[str, Any] | None:
    standing = found.standing
    if standing is None:
        return None
    given: list[tuple[Any, str | None]] = [*((one, None) for one in standing.valid), *standing.void]
    return {
        "needed": standing.needed,
        "missing": standing.missing,
        "complete": standing.complete,
        "approvals": [
            {"by": one.author, "at": one.created_at, "numbers": one.numbers, "void": void}
            for one, void in sorted(given, key=lambda pair: pair[0].created_at, reverse=True)
        ],
        "refusal": approval.refusal(found.campaign, author, standing),
    }
