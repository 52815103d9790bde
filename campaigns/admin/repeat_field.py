"""The composer's field for how a campaign repeats: “every weekday at 9” in words, or a crontab."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from campaigns import recurrence
from campaigns.recurrence import DAYS, Repeat, RepeatError
from campaigns.schedule import CrontabError, ZoneError
from devices.wall_time import zone_names

KINDS = [
    (recurrence.NEVER, _("Never: once")),
    (recurrence.DAILY, _("Every day")),
    (recurrence.WEEKDAYS, _("Every weekday, Monday to Friday")),
    (recurrence.WEEKLY, _("On days of the week")),
    (recurrence.MONTHLY, _("On a day of the month")),
    (recurrence.CRONTAB, _("By a crontab")),
]
DAY_LABELS = [_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun")]
PARTS = ("kind", "at", "day", "crontab", "zone", "until")


class RepeatWidget(forms.Widget):
    """A choice of words, with what each needs beside it."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {part: str(data.get(f"{name}-{part}", "")).strip() for part in PARTS}
        several = data.getlist(f"{name}-days") if hasattr(data, "getlist") else data.get(f"{name}-days", [])
        return {**found, "days": [day for day in several if day in DAYS]}

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-kind" not in data

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        value = value if isinstance(value, dict) else written(value)
        context = {
            "name": name,
            "value": value,
            "kinds": KINDS,
            "days": list(zip(DAYS, DAY_LABELS, strict=True)),
            "id": (attrs or {}).get("id", f"id_{name}"),
            "zones": _zone_options(),
        }
        return render_to_string("admin/campaigns/composer/repeat.html", context)

    def id_for_label(self, id_: str) -> str:
        return f"{id_}-kind"


@cache
def _zone_options() -> SafeString:
    """Return the zones that are offered, which are some 400."""
    offered = sorted(zone for zone in zone_names() if "/" in zone and not zone.startswith("Etc/"))
    return format_html_join("", '<option value="{}">', ((zone,) for zone in offered))


def written(campaign: Any) -> dict[str, Any]:
    """Return how a campaign repeats as the field's inputs say it."""
    repeat = recurrence.from_crontab(getattr(campaign, "repeat", "") or "")
    zone = getattr(campaign, "repeat_zone", "") or ""
    until = getattr(campaign, "repeat_until", None)
    return {
        "kind": repeat.kind,
        "at": f"{repeat.at:%H:%M}",
        "day": str(repeat.day),
        "days": list(repeat.days),
        "crontab": repeat.crontab or getattr(campaign, "repeat", "") or "",
        "zone": zone,
        "until": f"{(until - timedelta(seconds=1)).astimezone(_zone(zone or 'UTC')):%Y-%m-%d}"
        if until
        else "",
    }


class RepeatField(forms.Field):
    """How a campaign repeats, as `repeat`, `repeat_zone` and `repeat_until` of a campaign."""

    widget = RepeatWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)

    def clean(self, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("kind", "") in ("", recurrence.NEVER):
            return {"repeat": "", "repeat_zone": "", "repeat_until": None}
        if value["kind"] not in dict(KINDS):
            raise ValidationError(_("Choose how it repeats."))
        zone = value["zone"]
        place = _zone(zone or "UTC")
        try:
            crontab = recurrence.to_crontab(
                Repeat(
                    value["kind"],
                    _time(value["at"]),
                    tuple(value["days"]),
                    int(value["day"]) if value["day"].isdigit() else 0,
                    value["crontab"],
                )
            )
            recurrence.check_pace(crontab, zone or "UTC", after=timezone.now())
        except (RepeatError, CrontabError, ZoneError) as error:
            raise ValidationError(str(error)) from None
        return {"repeat": crontab, "repeat_zone": zone, "repeat_until": _end(value["until"], place)}

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(written(initial) != {**written(None), **(data or {})}) if data else False


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text or "09:00")
    except ValueError:
        raise ValidationError(_("“%(text)s” is no time; write one as 09:00.") % {"text": text}) from None


def _zone(name: str) -> ZoneInfo:
    if name not in zone_names():
        raise ValidationError(
            _("There is no time zone “%(name)s”; choose one such as Europe/Berlin.") % {"name": name}
        )
    return ZoneInfo(name)


def _end(text: str, place: ZoneInfo) -> datetime | None:
    """Return the instant at which the last day is over."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValidationError(_("“%(text)s” is no day; write one as 2026-12-24.") % {"text": text}) from None
    return datetime.combine(day + timedelta(days=1), time(), place).astimezone(UTC)
