"""The preference centre: pages for the people who are notified, reached by a signed link, without a sign-in.

Every answer is uncached, unindexed, and names itself to no other site. Opening an opt-out link changes nothing, because
mail programs open links before people do; the POST of RFC 8058 (or of the page's button) does.
"""

from collections.abc import Callable
from typing import Any

from django.conf.locale import LANG_INFO
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from devices import addresses, preference_links, preferences, quiet_hours
from devices.formats import LOCALE
from devices.models import Category, Subscriber
from devices.pace import Pace
from devices.preference_links import Link, LinkError
from devices.wall_time import zone_names

A_MINUTE = 60
_visits = Pace(A_MINUTE)
_guesses = Pace(A_MINUTE)

View = Callable[[HttpRequest, Link, str], HttpResponse]
LANGUAGES = sorted(
    (info["name_local"], code) for code, info in LANG_INFO.items() if "name_local" in info and "code" in info
)


def forget_visits() -> None:
    """Let everybody visit anew."""
    _visits.clear()
    _guesses.clear()


def linked(view: View) -> Callable[[HttpRequest, str], HttpResponse]:
    """Open a page by its link: in the person's language, at most 60 times a minute."""

    # the link itself says whose page it is and is in no cookie: another site cannot have it sent
    @csrf_exempt
    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    def opened(request: HttpRequest, token: str) -> HttpResponse:
        try:
            link = preference_links.read(token)
        except LinkError as error:
            with translation.override(translation.get_language_from_request(request)):
                slow = not _guesses.take(addresses.of_request(request))
                return _private(_closed(request, error, slow=slow))
        with translation.override(_language(request, link.subscriber)):
            if not _visits.take(str(link.subscriber.pk)):
                return _private(_closed(request, None, slow=True))
            return _private(view(request, link, token))

    return opened


def _language(request: HttpRequest, subscriber: Subscriber) -> str:
    for locale in (subscriber.locale, subscriber.application.locale if subscriber.locale == "" else ""):
        try:
            if locale:
                return translation.get_supported_language_variant(locale.lower())
        except LookupError:
            continue
    return translation.get_language_from_request(request)


def _private(answer: HttpResponse) -> HttpResponse:
    answer["X-Robots-Tag"] = "noindex, nofollow"
    answer["Referrer-Policy"] = "no-referrer"
    answer["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return answer


def _closed(request: HttpRequest, error: LinkError | None, *, slow: bool) -> HttpResponse:
    if slow:
        title, text = _("Too many requests"), _("Please wait a minute and try again.")
    elif error is not None and error.expired:
        title, text = (
            _("This link has expired"),
            _("Use the link of a newer message, or open the settings in the app."),
        )
    else:
        title, text = _("This link does not work"), _("Check that it was copied whole.")
    answer = render(
        request,
        "preferences/closed.html",
        {"title": title, "text": text, **_frame()},
        status=429 if slow else 410 if error is not None and error.expired else 404,
    )
    if slow:
        answer["Retry-After"] = "60"
    return answer


def _frame() -> dict[str, Any]:
    language = translation.get_language() or "en"
    return {"language": language, "direction": "rtl" if translation.get_language_bidi() else "ltr"}


# -- the page


@linked
def page(request: HttpRequest, link: Link, token: str) -> HttpResponse:
    """Show what a person may choose; POST changes it."""
    subscriber: Subscriber = link.subscriber
    errors: dict[str, str] = {}
    asked = request.POST if request.method == "POST" else None
    if asked is not None:
        errors = _change(subscriber, asked)
        if not errors:
            return HttpResponseRedirect(reverse("preferences", args=[token]) + "?saved=1")
    known = preferences.choices(subscriber)
    if asked is not None:
        on = set(asked.getlist("category"))
        known = [preferences.Choice(one.key, one.name, one.key in on, one.chosen) for one in known]
    hours = _hours(subscriber, asked)
    context = {
        "application": subscriber.application,
        "subscriber": subscriber,
        "consent": ("consent" in asked) if asked is not None else subscriber.consent,
        "categories": known,
        "hours": hours,
        "usual": subscriber.application.quiet_hours,
        "zone": asked.get("time_zone", "") if asked is not None else subscriber.time_zone,
        "zones": sorted(zone_names()),
        "locale": asked.get("locale", "") if asked is not None else subscriber.locale,
        "languages": _languages(subscriber.locale),
        "errors": errors,
        "saved": request.GET.get("saved") == "1" and asked is None,
        **_frame(),
    }
    return render(request, "preferences/page.html", context, status=400 if errors else 200)


def _hours(subscriber: Subscriber, asked: Any) -> dict[str, str]:
    if asked is not None:
        return {name: asked.get(name, "") for name in ("quiet", "from", "until")}
    own = subscriber.quiet_hours
    begin, _dash, end = own.partition("-")
    if own == quiet_hours.OFF:
        return {"quiet": "off", "from": "22:00", "until": "08:00"}
    return (
        {"quiet": "own", "from": begin, "until": end}
        if own
        else {"quiet": "", "from": "22:00", "until": "08:00"}
    )


def _languages(own: str) -> list[tuple[str, str]]:
    known = {code.lower() for _name, code in LANGUAGES}
    return [*([] if not own or own.lower() in known else [(own, own)]), *LANGUAGES]


def _change(subscriber: Subscriber, asked: Any) -> dict[str, str]:
    """Save what was asked for; return what is wrong by field, and then nothing is saved."""
    errors = {}
    zone, locale, quiet = asked.get("time_zone", ""), asked.get("locale", ""), asked.get("quiet", "")
    if zone and zone not in zone_names():
        errors["time_zone"] = _("Choose a time zone from the list.")
    if locale and (not LOCALE.fullmatch(locale) or len(locale) > 35):
        errors["locale"] = _("Choose a language from the list.")
    hours = {"": "", "off": quiet_hours.OFF}.get(quiet)
    if hours is None:
        hours = f"{asked.get('from', '')}-{asked.get('until', '')}"
        try:
            quiet_hours.parse(hours)
        except quiet_hours.QuietHoursError:
            errors["quiet"] = _(
                "Write when quiet hours begin and end, as 22:00 and 08:00; they cannot be a whole day."
            )
    if errors:
        return errors
    preferences.choose(subscriber, consent="consent" in asked, on=set(asked.getlist("category")))
    if (subscriber.time_zone, subscriber.locale, subscriber.quiet_hours) != (zone, locale, hours):
        subscriber.time_zone, subscriber.locale, subscriber.quiet_hours = zone, locale, hours
        subscriber.save(update_fields=["time_zone", "locale", "quiet_hours", "updated_at"])
    return {}


# -- one click


@linked
def opt_out(request: HttpRequest, link: Link, token: str) -> HttpResponse:
    """Ask (GET), and switch off what the link is for (POST, RFC 8058)."""
    subscriber: Subscriber = link.subscriber
    found = Category.objects.filter(application=subscriber.application_id, key=link.category).first()
    done = request.method == "POST"
    if done:
        preferences.opt_out(subscriber, found.key if found else "")
    context = {
        "application": subscriber.application,
        "category": found.name if found else "",
        "done": done,
        "settings": reverse("preferences", args=[token]),
        **_frame(),
    }
    return render(request, "preferences/opt_out.html", context)
