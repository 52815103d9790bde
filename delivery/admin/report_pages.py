"""The pages of what came of runs: a report with pictures and tables, runs side by side, a table to download."""

import csv
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.text import slugify
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from delivery import charts, reports
from delivery.models import Run
from devices.words import number, percent

MOST_COMPARED = 6
STAGES = {
    "told": (
        _("Told"),
        _("People whose log got the notification: the audience without those whom policy stopped."),
    ),
    "accepted": (
        _("Accepted"),
        _(
            "Messages that FCM, APNs or a Web Push service took, or that were written to a WebSocket; of all messages."
        ),
    ),
    "delivered": (
        _("Delivered"),
        _("People of whom a device acknowledged it: over the WebSocket, or by a receipt of the app."),
    ),
    "displayed": (_("Displayed"), _("People of whom a device said that it showed the notification.")),
    "opened": (_("Opened"), _("People who tapped or clicked it, as a device said.")),
    "converted": (
        _("Converted"),
        _("People about whom the goal's event came within its time after they were told."),
    ),
}
REPORTING = [
    (
        _("Web page, TV, stick (WebSocket)"),
        _("acknowledged by itself; displayed, opened and dismissed by the page or app"),
    ),
    (
        _("Android (FCM)"),
        _("nothing by itself: the app sends receipts; without one FCM's acceptance is the end that is seen"),
    ),
    (
        _("iOS (APNs)"),
        _(
            "nothing by itself: the app sends receipts, from a notification service extension for what it did not open"
        ),
    ),
    (_("Web Push"), _("what the page's service worker sends")),
]
"""Which platforms report what."""
COLUMNS = {
    "addressed": _("Messages"),
    "told": _("Told"),
    "accepted": _("Accepted"),
    "acknowledged": _("Delivered"),
    "displayed": _("Displayed"),
    "opened": _("Opened"),
    "dismissed": _("Dismissed"),
    "converted": _("Converted"),
}
HOURLY = ("acknowledged", "displayed", "opened", "converted")


def page(admin: Any, request: HttpRequest, run: Run) -> HttpResponse:
    """Return a run's report."""
    report = reports.of(run)
    earlier = earlier_of(admin, request, run)
    context = {
        **admin.admin_site.each_context(request),
        "title": gettext("Report of “%(run)s”") % {"run": run},
        "opts": run._meta,
        "run": run,
        "report": report,
        "stages": [(stage, _percent(stage.share), *STAGES[stage.name]) for stage in report.funnel],
        "funnel": _funnel(report),
        "reporting": REPORTING,
        "tables": [
            _table(
                report, gettext("By platform"), gettext("Platform"), report.platforms, "addressed", "accepted"
            ),
            _table(report, gettext("By language"), gettext("Language"), report.locales, "told"),
            _table(report, gettext("By variant"), gettext("Variant"), report.variants, "told"),
        ],
        "hours": [(parse_datetime(hour.at), hour) for hour in report.hours],
        "hourly": _hourly(report),
        "legend": charts.legend([name for name, _ in _series(report)]) if report.hours else [],
        "trial": report.experiment,
        "trial_lines": _trial_lines(report.experiment),
        "intervals": _intervals(report.experiment),
        "goal_hours": report.goal.seconds / 3600 if report.goal else 0,
        "earlier": earlier,
        "any": any(stage.people for stage in report.funnel[2:]),
    }
    return TemplateResponse(request, "admin/delivery/run/report.html", context)


def download(run: Run) -> HttpResponse:
    """Return a run's report as a table for spreadsheets, in UTF-8 with a mark so that they read it as such."""
    response = HttpResponse("\ufeff", content_type="text/csv; charset=utf-8")
    name = slugify(run.title)[:60] or "run"
    response["Content-Disposition"] = f'attachment; filename="report-{name}-{run.created_at:%Y-%m-%d}.csv"'
    csv.writer(response).writerows(reports.rows(reports.of(run)))
    return response


def comparison(admin: Any, request: HttpRequest) -> HttpResponse:
    """Return runs side by side; `run` in the address names them, other runs than the member's are left out."""
    keys = [int(key) for key in request.GET.getlist("run")[:MOST_COMPARED] if key.isdigit() and len(key) < 19]
    found = {run.pk: run for run in admin.get_queryset(request).defer("snapshot").filter(pk__in=keys)}
    compared = reports.compare([found[key] for key in dict.fromkeys(keys) if key in found])
    names = ("accepted", "delivered", "displayed", "opened", "converted")
    context = {
        **admin.admin_site.each_context(request),
        "title": gettext("Runs side by side"),
        "opts": Run._meta,
        "compared": compared,
        "most": MOST_COMPARED,
        "stages": [
            (
                STAGES[name][0],
                [(getattr(one, name), _percent(one.share(name))) for one in compared],
                charts.bars(
                    [(str(one.run), one.share(name) or 0.0, _percent(one.share(name))) for one in compared],
                    says=str(STAGES[name][0]),
                    half=True,
                ),
            )
            for name in names
        ],
    }
    return TemplateResponse(request, "admin/delivery/run/compare.html", context)


def earlier_of(admin: Any, request: HttpRequest, run: Run) -> list[Run]:
    """Return the latest other runs of the same campaign."""
    kind, _, rest = run.origin.partition(":")
    name = rest.partition(":")[0]
    same = Q(origin__startswith=f"{kind}:{name}:") if name else Q(origin=run.origin)
    rows = admin.get_queryset(request).filter(same, application=run.application_id).exclude(pk=run.pk)
    return list(rows.defer("snapshot").order_by("-created_at")[: MOST_COMPARED - 1])


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share, 1)


def _funnel(report: reports.Report) -> Any:
    rows = []
    for stage in report.funnel:
        count = (stage.people if stage.people is not None else stage.devices) or 0
        rows.append(
            (str(STAGES[stage.name][0]), stage.share or 0.0, f"{number(count)} · {_percent(stage.share)}")
        )
    said = "; ".join(f"{label}: {value}" for label, _, value in rows)
    return charts.bars(rows, says=said)


def _table(
    report: reports.Report, name: str, column: str, lines: list[reports.Line], base: str, *more: str
) -> dict[str, Any]:
    """Return a table of what was said of each value of a dimension; `base` counts whom its shares are of."""
    names = [base, *more, "acknowledged", "displayed", "opened", "dismissed"]
    if report.goal is not None:
        names.append("converted")
    return {
        "name": name,
        "column": column,
        "columns": [COLUMNS[one] for one in names],
        "lines": [(line.label, [getattr(line, one) for one in names]) for line in lines],
        "picture": _bars(lines, base),
    }


def _bars(lines: list[reports.Line], base: str) -> Any:
    """Return the opened of each value, as a share of those told there, or of its messages."""
    rows = []
    for line in lines[:12]:
        whole = getattr(line, base) or 0
        share = line.opened / whole if whole else 0.0
        rows.append((line.label, share, gettext("%(count)s opened · %(share)s") % _said(line.opened, share)))
    widest = max((share for _, share, _ in rows), default=0.0) or 1.0
    says = "; ".join(f"{label}: {value}" for label, _, value in rows)
    return charts.bars([(label, share / widest, value) for label, share, value in rows], says=says, half=True)


def _said(count: int, share: float) -> dict[str, str]:
    return {"count": number(count), "share": percent(share, 1)}


def _series(report: reports.Report) -> list[tuple[str, list[int]]]:
    """Return what people did, hour by hour; conversions where there is a goal."""
    return [
        (str(COLUMNS[kind]), [getattr(hour, kind) for hour in report.hours])
        for kind in HOURLY
        if kind != "converted" or report.goal is not None
    ]


def _hourly(report: reports.Report) -> Any:
    if not report.hours:
        return ""
    labels = [
        date_format(timezone.localtime(parse_datetime(hour.at)), "SHORT_DATETIME_FORMAT")
        for hour in report.hours
    ]
    return charts.lines(
        labels, _series(report), says=gettext("People by hour; the table beneath has the numbers")
    )


def _trial_lines(trial: reports.Trial | None) -> list[dict[str, Any]]:
    """Return the rows of an experiment's table, the control group last."""
    if trial is None:
        return []
    lines = [*trial.variants, *([trial.control] if trial.control else [])]
    return [
        {
            "key": one.key,
            "people": one.people,
            "did": one.did,
            "share": _bounds(one.share),
            "difference": _bounds(one.difference) if one.difference else "–",
            "lift": "–" if one.lift is None else percent(one.lift, sign=True),
        }
        for one in lines
    ]


def _bounds(interval: Any) -> str:
    return f"{percent(interval.value)} ({percent(interval.low)} … {percent(interval.high)})"


def _intervals(trial: reports.Trial | None) -> Any:
    """Return the difference of each variant to the control, or without one the share of each."""
    if trial is None or not trial.variants:
        return ""
    rows = []
    for one in trial.variants:
        shown = one.difference if one.difference is not None else one.share
        rows.append((one.key, shown.low, shown.value, shown.high))
    says = "; ".join(
        f"{key}: {percent(value)} ({percent(begin)} … {percent(end)})" for key, begin, value, end in rows
    )
    return charts.intervals(rows, says=says)
