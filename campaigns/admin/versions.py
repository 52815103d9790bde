"""A campaign's versions on its page: what was said, what came of it, and whether it says something else by now."""

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from campaigns import launching
from campaigns.models import Campaign, CampaignVersion
from delivery.models import Run
from delivery.snapshot import from_json
from devices.scoped_inlines import ScopedTabularInline


class VersionInline(ScopedTabularInline):
    """What the campaign said before; runs keep theirs."""

    model = CampaignVersion
    verbose_name_plural = _("versions")
    read_only = True
    fields = ["number", "said", "created_at", "launch_at", "launched_at"]
    readonly_fields = fields

    @display(description=_("What it says"))
    def said(self, version: CampaignVersion) -> str:
        texts, locale = version.snapshot.get("texts", {}), version.snapshot.get("locale", "en")
        text = texts.get(locale, {})
        return " — ".join(part for part in (text.get("title"), text.get("body")) if part)[:200] or "—"


def runs_of(campaign: Campaign) -> QuerySet[Run]:
    """Return the runs of the campaign's launched versions, newest first."""
    launched = campaign.versions.exclude(launched_at=None)
    return Run.objects.filter(
        application_id=campaign.application_id, origin__in=[launching.origin(version) for version in launched]
    )


def is_edited(campaign: Campaign) -> bool:
    """Return whether the campaign says something else now than its newest version."""
    newest = campaign.versions.first()
    return newest is None or from_json(newest.snapshot) != launching.snapshot_of(campaign)
