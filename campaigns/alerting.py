"""What the staff is alerted to, of both rooms: campaigns that wait for approval beside what delivery finds."""

from datetime import datetime

from campaigns.models import Campaign
from delivery import alerts


def look(now: datetime) -> int:
    """Find what needs a person and note who is to be told; return how many incidents began or ended."""
    waiting = Campaign.objects.filter(state=Campaign.State.IN_REVIEW, application__alert_rules__enabled=True)
    return alerts.look(
        now,
        [
            alerts.Condition(
                application,
                "approval_waiting",
                str(uid),
                f"“{name}” waits for approval.",
                f"/admin/campaigns/campaign/{key}/change/",
            )
            for application, uid, name, key in waiting.distinct().values_list(
                "application_id", "uid", "name", "pk"
            )
        ],
    )
