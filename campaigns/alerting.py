"""What the staff is alerted to, of both rooms: campaigns that wait for somebody beside what delivery finds."""

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse

from campaigns import launching
from campaigns.models import Campaign, CampaignVersion
from delivery import alerts
from delivery.models import Run
from delivery.runs import TRANSITIONS


def look(now: datetime) -> int:
    """Find what needs a person and note who is to be told; return how many incidents began or ended."""
    return alerts.look(now, [*_approvals(), *_canaries()])


def _approvals() -> Iterator[alerts.Condition]:
    """Yield the campaigns that wait for approval."""
    waiting = Campaign.objects.filter(state=Campaign.State.IN_REVIEW, application__alert_rules__enabled=True)
    for application, uid, name, key in waiting.distinct().values_list("application_id", "uid", "name", "pk"):
        yield alerts.Condition(
            application,
            "approval_waiting",
            str(uid),
            {"campaign": name},
            f"/admin/campaigns/campaign/{key}/change/",
        )


def _canaries() -> Iterator[alerts.Condition]:
    """Yield the campaigns whose canary has told its people and waits: until then there is nothing to decide."""
    waiting = CampaignVersion.objects.filter(
        canary_state="waiting",
        campaign__state=Campaign.State.LIVE,
        campaign__application__alert_rules__enabled=True,
    )
    rows = waiting.distinct().select_related("campaign").defer("snapshot")
    versions = {launching.canary_uid(version): version for version in rows}
    going = Run.objects.filter(uid__in=versions, state__in=TRANSITIONS["cancel"][0])
    telling = set(going.values_list("uid", flat=True))
    for uid, version in versions.items():
        if uid not in telling:
            campaign = version.campaign
            yield alerts.Condition(
                campaign.application_id,
                "canary_waiting",
                str(campaign.uid),
                {"campaign": campaign.name, "share": version.canary / 100},
                reverse("admin:campaigns_campaign_preflight", args=[campaign.pk]),
            )
