"""Registering devices: whose one is, and what happens to a token that another device had."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from devices import closing
from devices.fields import token_digest
from devices.models import Application, Device, Subscriber


class NotTheirsError(Exception):
    """The device belongs to another subscriber, or another application."""


class TokenTakenError(Exception):
    """The token is registered for a device of another subscriber."""


def register(
    application: Application, subscriber: Subscriber, uid: UUID, values: dict[str, Any], *, may_move: bool
) -> tuple[Device, bool]:
    """Make or change the device `uid` of a subscriber; return it, and whether it is new.

    It is active afterwards. Another active device with the same token is retired: a token is one
    device's address. `may_move` lets a device or a token come over from another subscriber; else
    `NotTheirsError` and `TokenTakenError` are raised. Two requests at once for one device or one
    token come one after the other.
    """
    try:
        return _register(application, subscriber, uid, values, may_move)
    except IntegrityError:
        # another request registered the same device or token in between; it stands by now
        return _register(application, subscriber, uid, values, may_move)


def _register(
    application: Application, subscriber: Subscriber, uid: UUID, values: dict[str, Any], may_move: bool
) -> tuple[Device, bool]:
    now = timezone.now()
    with transaction.atomic():
        device = Device.objects.select_for_update().filter(uid=uid).first()
        if device is not None and (
            device.application_id != application.pk or not (may_move or device.subscriber_id == subscriber.pk)
        ):
            raise NotTheirsError
        new = device is None
        moved = device is not None and device.subscriber_id != subscriber.pk
        if device is None:
            device = Device(application=application, uid=uid)
        for name, value in values.items():
            setattr(device, name, value)
        device.subscriber = subscriber
        device.state, device.retired_at, device.retired_reason = Device.State.ACTIVE, None, ""
        device.registered_at = device.seen_at = now
        _take_token(device, may_move)
        device.save()
        if moved:
            closing.close_devices([device.uid])
    return device, new


def _take_token(device: Device, may_move: bool) -> None:
    if not device.token:
        return
    others = Device.objects.select_for_update().filter(
        application_id=device.application_id,
        provider=device.provider,
        token_digest=token_digest(device.token),
        state=Device.State.ACTIVE,
    )
    for other in others.exclude(uid=device.uid):
        if not may_move and other.subscriber_id != device.subscriber_id:
            raise TokenTakenError
        retire(other, Device.Retired.REPLACED)


def retire(device: Device, reason: Device.Retired) -> bool:
    """Stop sending to a device, and have its lines closed; return whether it was active."""
    with transaction.atomic():
        retired = Device.objects.filter(pk=device.pk, state=Device.State.ACTIVE).update(
            state=Device.State.RETIRED, retired_at=timezone.now(), retired_reason=reason
        )
        if retired:
            closing.close_devices([device.uid])
    return bool(retired)
