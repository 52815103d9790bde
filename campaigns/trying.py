"""Tests of a campaign: what it says now, to a few named devices, past caps, schedules and audiences."""

from collections.abc import Sequence
from uuid import uuid4

import msgspec
from django.utils.translation import gettext as _

from campaigns import launching
from campaigns.models import Campaign, TestDevice
from delivery import runs
from delivery.models import Run
from delivery.snapshot import Named, Policy
from devices.models import Device

MOST = 10
TTL = 3_600
LANE = "high"


class TryError(Exception):
    """A test that cannot be sent; the sentence says why."""


def send_test(campaign: Campaign, tested: Sequence[TestDevice], *, by: object) -> list[Run]:
    """Send what a campaign says now to test devices, one run each, and return the runs.

    Raises `TryError`, and `launching.LaunchError` when the content does not render.
    """
    if not tested:
        raise TryError(_("Choose at least one test device."))
    if len(tested) > MOST:
        raise TryError(_("At most %(most)s test devices at once.") % {"most": MOST})
    snapshot = launching.checked_snapshot(campaign)
    for one in tested:
        if one.device.state != Device.State.ACTIVE:
            raise TryError(
                _("“%(one)s” is retired: its app has to register anew, or choose another device.")
                % {"one": one}
            )
    sent = []
    for one in tested:
        said = msgspec.structs.replace(
            snapshot,
            platforms=[one.device.platform],
            predicate=None,
            policy=Policy(transactional=True),
            ttl=min(snapshot.ttl, TTL),
        )
        sent.append(
            runs.launch(
                application=campaign.application,
                origin=f"test:{campaign.uid}",
                title=_("Test of %(campaign)s on %(device)s")
                % {"campaign": campaign.name[:120], "device": one.name[:60]},
                lane=LANE,
                snapshot=said,
                category=campaign.category,
                people=[Named(one.device.subscriber_id)],
                uid=uuid4(),
            )
        )
    launching.log.info("campaign.tested", campaign=str(campaign.uid), devices=len(sent), by=str(by))
    return sent
