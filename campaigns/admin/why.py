"""The page that answers “why did this person get it, or not?”, reached from the menu, a subscriber and a run."""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from campaigns import why
from campaigns.models import Campaign
from delivery.models import Run
from devices import staff
from devices.models import Subscriber

MOST_CAMPAIGNS = 200


def why_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Answer for `person` (primary key) or `subscriber` (external id), and `run` or `campaign` (primary keys).

    All of them are looked for in the member's applications only; what is not there is a 404 or a sentence.
    """
    mine = staff.enters(request)
    if not mine:
        raise PermissionDenied
    asked = request.GET
    run = _chosen(Run, asked.get("run"), mine)
    campaign = _chosen(Campaign, asked.get("campaign"), mine) if run is None else _campaign_of(run)
    person = _chosen(Subscriber, asked.get("person"), mine)
    external_id = person.external_id if person else asked.get("subscriber", "").strip()
    whose = [person.application_id] if person else mine
    subject = run or campaign
    told, problem = None, ""
    if subject is not None and external_id:
        subscriber = (
            Subscriber.objects.filter(application=subject.application_id, external_id=external_id)
            .select_related("application")
            .first()
        )
        if subscriber is None:
            problem = f"There is no subscriber “{external_id[:100]}” in {subject.application}."
        else:
            told = why.compose(subject.application, subscriber, campaign, run=run)
    found_run = (
        Run.objects.filter(uid=told["run"]["uid"]).only("pk").first() if told and told["run"] else None
    )
    context = {
        **admin.admin_site.each_context(request),
        "title": "Why did this person get it, or not?",
        "opts": Campaign._meta,
        "asked": external_id,
        "run": run,
        "campaign": campaign,
        "campaigns": Campaign.objects.filter(application__in=whose).select_related("application")[
            :MOST_CAMPAIGNS
        ],
        "several": len(whose) > 1,
        "told": told,
        "found_run": found_run,
        "problem": problem,
    }
    return TemplateResponse(request, "admin/campaigns/why.html", context)


def _chosen(model: Any, key: str | None, mine: list[int]) -> Any:
    """Return the member's object with a primary key, None when none is asked for; else 404."""
    if not key:
        return None
    related = ("application", "segment", "category") if model is Campaign else ("application",)
    found = None
    if key.isascii() and key.isdigit() and len(key) < 19:
        found = model.objects.filter(pk=int(key), application__in=mine).select_related(*related).first()
    if found is None:
        raise Http404(f"There is no {model._meta.verbose_name} {key[:40]} in your applications.")
    return found


def _campaign_of(run: Run) -> Campaign | None:
    """Return the campaign that a run is of, by launch or by rule; None for a direct one."""
    kind, _, rest = run.origin.partition(":")
    try:
        uid = UUID(rest.partition(":")[0])
    except ValueError:
        return None
    rows = Campaign.objects.filter(application=run.application_id)
    rows = rows.filter(uid=uid) if kind == "campaign" else rows.filter(rules__uid=uid)
    return rows.select_related("application", "segment", "category").first()
