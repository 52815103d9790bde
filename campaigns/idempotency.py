"""Idempotency keys: that a request was taken, and the answer to give when it comes again.

The key is claimed in a transaction of its own, so that the same request at once is told that one
is in flight. A claim whose worker died is taken over after `IN_FLIGHT`; both would make the run
with the claim's uid, of which there can be one.
Source: draft-ietf-httpapi-idempotency-key-header-07, section 2.
"""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec
from django.db import IntegrityError, transaction
from django.utils import timezone

from campaigns.models import IdempotencyKey
from devices.models import Application
from devices.problem_values import Problem

IN_FLIGHT = timedelta(seconds=60)
"""How long a claimed key without an answer counts as being worked on."""
KEY_LIMIT = 255


class ReuseError(Exception):
    """A key that cannot be used for this request (now), with the problem to answer."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


class Claim(msgspec.Struct, frozen=True):
    """A claimed key: `answer` is the one given before, None when the request is to be done.

    `uid` is the same whoever takes the claim over.
    """

    pk: int
    uid: UUID
    answer: dict[str, Any] | None = None


def claim(application: Application, key: str, body: bytes) -> Claim:
    """Claim a key for a request's canonical body.

    Raises `ReuseError`: 400 for a key that is too long, 422 for one used with another body, 409
    while the same request is in flight.
    """
    if len(key) > KEY_LIMIT or not key.isprintable():
        detail = f"An Idempotency-Key has {KEY_LIMIT} printable characters at most."
        raise ReuseError(Problem(400, "idempotency-key", "The Idempotency-Key cannot be used", detail))
    digest = hashlib.sha256(body).hexdigest()
    try:
        with transaction.atomic():
            return _claim(IdempotencyKey.objects.create(application=application, key=key, digest=digest))
    except IntegrityError:
        row = IdempotencyKey.objects.filter(application=application, key=key).first()
    if row is not None and row.digest != digest:
        detail = "This Idempotency-Key was used with another body. Use a new key for a new request."
        raise ReuseError(
            Problem(422, "idempotency-key-reused", "The Idempotency-Key was used before", detail)
        )
    if row is None or (row.answer is None and row.created_at > timezone.now() - IN_FLIGHT):
        detail = "The same request is being worked on. Send it again in a second for its answer."
        raise ReuseError(Problem(409, "request-in-flight", "The request is in flight", detail))
    return _claim(row)


def keep(claimed: Claim, answer: dict[str, Any], status: int = 202) -> None:
    """Keep the answer, inside the transaction that does what was asked."""
    IdempotencyKey.objects.filter(pk=claimed.pk).update(answer=answer, status=status)


def release(claimed: Claim) -> None:
    """Free a key whose request came to nothing."""
    IdempotencyKey.objects.filter(pk=claimed.pk, answer__isnull=True).delete()


def _claim(row: IdempotencyKey) -> Claim:
    return Claim(row.pk, uuid5(row.application.uid, f"{row.key}:{row.created_at.isoformat()}"), row.answer)
