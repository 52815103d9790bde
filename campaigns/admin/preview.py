"""The composer's live preview: what the form holds now, rendered for somebody as a launch would; nothing is stored."""

import difflib
from typing import Any

import msgspec
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _

from campaigns import composing, editing, launching, previewing, triggering
from campaigns.admin.campaign_form import without_place
from campaigns.admin.when import viewer_zone, when_sentences
from campaigns.models import Campaign
from delivery.snapshot import Snapshot
from devices import staff
from devices.known_zones import known_locales
from devices.models import Application, Power, Subscriber

MOST_BYTES = 128 * 1024
"""Of a form without its picture; the most that fits is far less."""
MOST_REFUSALS = 12
"""Fields that are left out of a preview because they cannot be."""
EVENTS = ("event_condition", "event_delay", "event_unless_id", "event_once_days")
"""What goes with the event that starts a campaign."""
QUIET = ("name", "application")
"""Fields that may still be empty while the text is written."""


def preview_view(admin: Any, request: HttpRequest) -> JsonResponse:
    """Answer a form's content with its preview; another application's is a 404 like everywhere."""
    if request.method != "POST":
        return JsonResponse({"detail": _("Post the form.")}, status=405, headers={"Allow": "POST"})
    if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
        return JsonResponse({"detail": _("The form holds too much to be shown.")}, status=413)
    campaign, application = _whose(admin, request)
    if application is None:
        return JsonResponse({"detail": _("Choose the application first.")}, status=404)
    form_class = admin.get_form(request, campaign, change=campaign is not None)
    form = type("PreviewForm", (form_class,), {"saves": False})(request.POST, instance=campaign)
    form.instance.application = application
    form.full_clean()
    return JsonResponse(_answer(request, form, application))


def _whose(admin: Any, request: HttpRequest) -> tuple[Campaign | None, Application | None]:
    """Return the campaign that is edited (None for a new one), and the application."""
    if key := request.POST.get("campaign", ""):
        campaign = admin.get_object(request, key)
        return campaign, campaign.application
    mine = staff.applications(request, Power.WRITE)
    chosen = request.POST.get("application", "")
    if chosen:
        return None, mine.filter(pk=chosen).first() if chosen.isdigit() else None
    several = list(mine[:2])
    return None, several[0] if len(several) == 1 else None


def _answer(request: HttpRequest, form: Any, application: Application) -> dict[str, Any]:
    campaign: Campaign = form.instance
    problems = [
        {"field": name, "line": 0, "text": str(said), "level": "error"}
        for name, several in form.errors.items()
        for said in several
        if name not in QUIET and name != "__all__"
    ]
    snapshot, refused = _speakable(campaign)
    for error in refused:
        field, place = composing.field_of(error.field, locale=application.locale)
        if field not in form.errors:
            problems.append(
                {
                    "field": form.input_of(field, place),
                    "line": 0,
                    "text": without_place(error),
                    "level": "error",
                }
            )
    if snapshot is None:
        return {"screens": [], "problems": problems}
    person, whom = _person(request, application, snapshot.predicate)
    found = previewing.preview(snapshot, application, person, locale=request.POST.get("as_locale", "")[:35])
    for problem in found.problems:
        field, place = composing.field_of(problem.field, locale=application.locale)
        name = form.input_of(field, place)
        if problem.level == "error" and field in form.errors:
            problems = [one for one in problems if one["field"] != field]
        problems.append({"field": name, "line": problem.line, "text": problem.text, "level": problem.level})
    problems += [
        {"field": "event_condition", "line": 0, "text": said, "level": "warning"}
        for said in _about_condition(campaign)
    ]
    base = {name: getattr(campaign, name) for name in ("title", "subtitle", "body")}
    missing = composing.missing(campaign.locales, base)
    return {
        "person": found.person,
        "whom": whom,
        "locale": found.locale,
        "locales": list(snapshot.texts),
        "screens": msgspec.to_builtins(found.screens),
        "problems": problems,
        "missing": missing,
        "untold": _untranslated(snapshot, application),
        "when": when_sentences(campaign, snapshot, viewer_zone(request, application.time_zone)),
    }


def _about_condition(campaign: Campaign) -> list[str]:
    """Return what to say beside a condition: fields that no event has, or, while it is empty, which there are."""
    if campaign.event_type is None:
        return []
    known = triggering.fields_of(campaign.event_type)
    if campaign.event_condition.strip():
        return triggering.suggestions(campaign.event_condition, known)
    if not known:
        return [_("No event of this type has come yet, and it has no schema: its fields are not known.")]
    return [_("It has: %(fields)s.") % {"fields": ", ".join(known[:12])}]


def _speakable(campaign: Campaign) -> tuple[Snapshot | None, list[launching.LaunchError]]:
    """Return what a campaign says without the fields that cannot be, and what is wrong with these."""
    refused: list[launching.LaunchError] = []
    for _try in range(MOST_REFUSALS):
        try:
            return launching.snapshot_of(campaign), refused
        except launching.LaunchError as error:
            refused.append(error)
            name, *within = error.field.split(".")
            if name == "event_type":
                for one in EVENTS:
                    setattr(campaign, one, getattr(Campaign(), one))
                continue
            if name not in editing.EDITED:
                break
            whole = getattr(campaign, name)
            if name == "overrides" and len(within) > 1 and within[1] in whole.get(within[0], {}):
                platform = {key: value for key, value in whole[within[0]].items() if key != within[1]}
                setattr(campaign, name, {**whole, within[0]: platform})
            else:
                setattr(campaign, name, getattr(Campaign(), name))
    return None, refused


def _person(request: HttpRequest, application: Application, predicate: Any) -> tuple[Any, str]:
    """Return whose attributes are used, and a sentence when it is not who was asked for."""
    wanted = request.POST.get("as_person", "").strip()[:255]
    if not wanted:
        person = previewing.somebody(application, predicate=predicate)
        return person, "" if person else _("Nobody is there yet: variables are empty.")
    person = previewing.somebody(application, external_id=wanted)
    if person is not None:
        return person, ""
    ids = Subscriber.objects.filter(application=application, external_id__startswith=wanted[:2])
    near = difflib.get_close_matches(wanted, ids.values_list("external_id", flat=True)[:200], n=1)
    hint = _(" Did you mean “%(id)s”?") % {"id": near[0]} if near else ""
    return None, _("There is no subscriber “%(id)s”.") % {"id": wanted} + hint


def _untranslated(snapshot: Snapshot, application: Application) -> list[dict[str, Any]]:
    """Return the languages that subscribers read and this campaign does not speak."""
    spoken = {tag.lower().partition("-")[0] for tag in snapshot.texts}
    found: dict[str, int] = {}
    for locale, people in known_locales(application.pk):
        language = locale.replace("_", "-").lower().partition("-")[0]
        if language not in spoken:
            found[language] = found.get(language, 0) + people
    return [{"locale": locale, "people": people} for locale, people in list(found.items())[:5]]
