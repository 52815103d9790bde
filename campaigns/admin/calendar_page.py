"""The calendar: what is planned in a month, in the zone of whoever looks, and which days the same people hear twice."""

import calendar
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from campaigns.admin.when import viewer_zone
from campaigns.planned import Collision, Plan, collisions, plans
from devices import staff
from devices.models import Power

YEARS = (1970, 2100)
MOST_COLLISIONS = 3
"""Collisions that are shown of a day."""


class Day(NamedTuple):
    """A day of the calendar: whether it belongs to the month, what is planned, and who hears twice."""

    date: date
    of_month: bool
    today: bool
    plans: list[Plan]
    collisions: list[Collision]


def calendar_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Return the month that the address names (`?month=2026-12`), else this one."""
    mine = list(staff.applications(request)[:200])
    asked = request.GET.get("application", "")
    application = next((one for one in mine if str(one.pk) == asked), mine[0] if mine else None)
    zone = viewer_zone(request, application.time_zone if application else "UTC")
    today = datetime.now(UTC).astimezone(ZoneInfo(zone)).date()
    first = _month(request.GET.get("month", ""), today)
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    found = plans(application, first=weeks[0][0], last=weeks[-1][-1], zone=zone) if application else []
    twice = collisions(application, found, most=MOST_COLLISIONS) if application else {}
    by_day: dict[date, list[Plan]] = {}
    for plan in found:
        by_day.setdefault(plan.day, []).append(plan)
    days = [
        [
            Day(
                day,
                day.month == first.month,
                day == today,
                by_day.get(day, []),
                twice.get(day, []),
            )
            for day in week
        ]
        for week in weeks
    ]
    context = {
        **admin.admin_site.each_context(request),
        "title": _("What is planned"),
        "opts": admin.opts,
        "weeks": days,
        "month": first,
        "before": (first - timedelta(days=1)).strftime("%Y-%m"),
        "after": (first + timedelta(days=32)).strftime("%Y-%m"),
        "zone": zone,
        "application": application,
        "applications": mine if len(mine) > 1 else [],
        "nothing": not found,
        "may_edit": staff.may(request, Power.WRITE),
        "add": reverse("admin:campaigns_campaign_add"),
    }
    return TemplateResponse(request, "admin/campaigns/campaign/calendar.html", context)


def _month(text: str, today: date) -> date:
    """Return the first day of the month that is named as 2026-12, else of today's."""
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        first = today
    return first.replace(day=1) if YEARS[0] < first.year < YEARS[1] else today.replace(day=1)
