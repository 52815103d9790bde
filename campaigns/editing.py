"""Two people edit one campaign: the second is told who changed what meanwhile, and nothing is overwritten unasked."""

import hashlib
import json
from typing import Any, NamedTuple

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext as _

from campaigns.composing import WITH_OPTIONS
from campaigns.models import Campaign
from campaigns.policy import FIELDS as POLICY_FIELDS

EDITED = (
    "name", "title", "subtitle", "body", "image", "link", "sound", "badge", "data", *WITH_OPTIONS, "locales",
    "overrides", "segment_id", "category_id", "lane", "send_at", "ttl", "repeat", "repeat_zone", "repeat_until",
    "event_type_id", "event_condition", "event_delay", "event_unless_id", "event_once_days", *POLICY_FIELDS,
    "silence_across_devices",
)  # fmt: skip
"""The fields that people edit."""
LONGEST = 80


class Conflict(NamedTuple):
    """Who changed what since a page was opened, and the base of whoever has read so."""

    who: str
    changed: list[tuple[str, str]]
    base: str

    @property
    def sentence(self) -> str:
        """What to say to the second."""
        what = "; ".join(f"{name}: “{value}”" if value else name for name, value in self.changed)
        return _(
            "%(who)s changed this campaign while you were editing. Now it says: %(what)s. Nothing was overwritten:"
            " your text stands below. Take over what you want to keep of theirs, then save again to have it your way."
        ) % {"who": self.who or _("Somebody"), "what": what or _("nothing else")}


def base_of(campaign: Campaign) -> str:
    """Return what a campaign says at this edit: its revision, and a short digest of every field."""
    digests = {name: _digest(getattr(campaign, name)) for name in EDITED}
    return f"{campaign.revision}:{json.dumps(digests, separators=(',', ':'))}"


def conflict(pk: int, base: str) -> Conflict | None:
    """Return what somebody else changed since `base`, None when nobody did; the row stays locked until the commit."""
    now = Campaign.objects.select_for_update().filter(pk=pk).first()
    revision, _colon, digests = base.partition(":")
    if now is None or revision == str(now.revision):
        return None
    try:
        before = json.loads(digests)
    except ValueError:
        before = {}
    fields = {field.attname: field for field in now._meta.concrete_fields}
    changed = [
        (str(fields[name].verbose_name), _shown(now, name))
        for name in EDITED
        if before.get(name) != _digest(getattr(now, name))
    ]
    return Conflict(now.edited_by, changed, base_of(now)) if changed else None


def note(campaign: Campaign, author: str) -> None:
    """Note on a campaign about to be saved that `author` (as `user:eva`) has edited it."""
    campaign.revision += 1
    campaign.edited_by = author.partition(":")[2][:150]
    written = [] if campaign.settled else campaign.authors
    campaign.authors = written if author in written else [*written, author]
    campaign.settled = False


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _shown(campaign: Campaign, name: str) -> str:
    value = getattr(campaign, name.removesuffix("_id"))
    if value in (None, "", {}, []):
        return _("empty")
    text = value if isinstance(value, str) else "" if isinstance(value, dict | list) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
