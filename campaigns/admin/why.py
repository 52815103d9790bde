"""The page that tells what is known of a person, and why they got a notification or did not."""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from campaigns import person, why
from campaigns.answering import outcome_of
from campaigns.models import Campaign
from delivery.models import Run
from devices import staff
from devices.models import Subscriber
from devices.segments import PredicateError

MOST_CAMPAIGNS = 200
"""The newest, which can be chosen here; older ones are asked about from their own page."""


def why_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Answer for `person` (primary key) or `subscriber` (external id), and `run` or `campaign` (primary keys).

    Without a run and a campaign it tells what is known of the person. All of them are looked for in the member's
    applications only; what is not there is a 404 or a sentence.
    """
    mine = staff.enters(request)
    if not mine:
        raise PermissionDenied
    asked = request.GET
    run = _chosen(Run, asked.get("run"), mine)
    campaign = _chosen(Campaign, asked.get("campaign"), mine) if run is None else _campaign_of(run)
    chosen = _chosen(Subscriber, asked.get("person"), mine)
    external_id = chosen.external_id if chosen else asked.get("subscriber", "").strip()
    subject = run or campaign
    where = [subject.application_id] if subject else mine
    people = [chosen] if chosen is not None and subject is None else _people(external_id, where)
    told, known, problem = None, None, ""
    if external_id and not people:
        problem = _missing(external_id, subject)
    elif subject is not None and people:
        try:
            told = why.compose(subject.application, people[0], campaign, run=run)
        except PredicateError as error:
            problem = _("The segment cannot be asked. %(error)s") % {"error": error}
    elif len(people) == 1:
        known = person.overview(people[0])
    found_run = (
        Run.objects.filter(uid=told["run"]["uid"]).only("pk").first() if told and told["run"] else None
    )
    whose = [people[0].application_id] if len(people) == 1 else mine
    newest = Campaign.objects.filter(application__in=whose).select_related("application")
    campaigns = list(newest[:MOST_CAMPAIGNS])
    if campaign is not None and campaign not in campaigns:
        campaigns.append(campaign)
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Why did this person get it, or not?"),
        "opts": Campaign._meta,
        "asked": external_id,
        "run": run,
        "campaign": campaign,
        "campaigns": campaigns,
        "several": len(whose) > 1,
        "people": people if len(people) > 1 else [],
        "person": people[0] if len(people) == 1 else None,
        "known": known,
        "told": told,
        "outcomes": [outcome_of(row) for row in told["outcomes"]] if told else [],
        "found_run": found_run,
        "problem": problem,
    }
    return TemplateResponse(request, "admin/campaigns/why.html", context)


def _people(external_id: str, applications: list[int]) -> list[Subscriber]:
    """Return whom an external id names: a person may be known to several applications."""
    if not external_id or len(external_id) > 255 or "\x00" in external_id:
        return []
    rows = Subscriber.objects.filter(application__in=applications, external_id=external_id)
    return list(rows.select_related("application").order_by("application__name")[:MOST_CAMPAIGNS])


def _missing(external_id: str, subject: Any) -> str:
    if subject is not None:
        return _("There is no subscriber “%(id)s” in %(application)s.") % {
            "id": external_id[:100],
            "application": subject.application,
        }
    return _(
        "There is no subscriber “%(id)s” in your applications. Check the id: it is the one of your own system."
    ) % {"id": external_id[:100]}


def _chosen(model: Any, key: str | None, mine: list[int]) -> Any:
    """Return the member's object with a primary key, None when none is asked for; else 404."""
    if not key:
        return None
    related = ("application", "segment", "category") if model is Campaign else ("application",)
    found = None
    if key.isascii() and key.isdigit() and len(key) < 19:
        found = model.objects.filter(pk=int(key), application__in=mine).select_related(*related).first()
    if found is None:
        raise Http404(
            _("There is no %(verbose_name)s %(key)s in your applications.")
            % {"verbose_name": model._meta.verbose_name, "key": key[:40]}
        )
    return found


def _campaign_of(run: Run) -> Campaign | None:
    """Return the campaign that a run is of, by launch or by rule; None for a direct one."""
    kind, _colon, rest = run.origin.partition(":")
    try:
        uid = UUID(rest.partition(":")[0])
    except ValueError:
        return None
    rows = Campaign.objects.filter(application=run.application_id)
    rows = rows.filter(uid=uid) if kind == "campaign" else rows.filter(rules__uid=uid)
    return rows.select_related("application", "segment", "category").first()
