"""The composer's page: which fields stand where, and what stands beside them."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from campaigns import triggering
from campaigns.admin.campaign_form import CampaignForm
from campaigns.composing import PLACES, TEXTS, WITH_OPTIONS, opened, options_field, override_field
from campaigns.suggestions import SUBSCRIBER
from devices import staff
from devices.known_attributes import known_attributes
from devices.models import Platform, Power

MOST_APPLICATIONS = 1
"""A picker is of one application: where several may be chosen it is filled once one is."""

_TABS = {
    Platform.ANDROID: ["android_channel_id", "android_priority", "android_color"],
    Platform.IOS: ["ios_interruption_level", "ios_thread_id", "ios_category"],
    Platform.WEB: ["web_icon", "web_require_interaction"],
    Platform.TV: [],
    Platform.STICK: [],
}


def _tab(platform: Platform) -> tuple[Any, dict[str, Any]]:
    said = [*TEXTS, "badge", *(["buttons"] if platform == Platform.WEB else []), "data"]
    more = [options_field(platform)] if platform in WITH_OPTIONS else []
    fields = [*(override_field(platform, name) for name in said), *_TABS[platform], *more]
    return (platform.label, {"fields": fields, "classes": ["platform", platform.value]})


FIELDSETS: list[tuple[Any, dict[str, Any]]] = [
    (None, {"fields": ["application", "name", "state_now"]}),
    (
        _("What it says"),
        {
            "fields": [
                "title",
                "subtitle",
                "body",
                "image",
                "picture",
                "link",
                "buttons",
                "sound",
                "badge",
                "data",
            ],
            "classes": ["content"],
        },
    ),
    (_("Other languages"), {"fields": ["locales"], "classes": ["languages"]}),
    *(_tab(platform) for platform in _TABS),
    (_("Who hears it"), {"fields": ["segment", "category"]}),
    (
        _("When"),
        {
            "fields": [
                "send_at",
                "repeat",
                "local_time",
                "local_date",
                "local_late",
                "best_hour",
                "best_from",
                "best_until",
                "window_start",
                "window_end",
                "ttl",
            ],
            "classes": ["when"],
        },
    ),
    (
        _("Or when an event happens"),
        {
            "fields": [
                "event_type",
                "event_condition",
                "event_delay",
                "event_unless",
                "event_once_days",
            ],
            "classes": ["event"],
        },
    ),
    (
        _("How fast, and what may hold it back"),
        {
            "fields": [
                "rate",
                "rate_per",
                "ramp",
                "jitter",
                "when_capped",
                "transactional",
                "critical_override",
                "lane",
                "silence_across_devices",
            ],
            "classes": ["collapse"],
        },
    ),
]


_SPANS = {"ttl": "ttl_shown", "event_delay": "event_delay_shown"}
_SHOWN = {"data": "data_shown", "locales": "locales_shown", **_SPANS}
"""What is shown in place of a field to whoever may only look: these hold objects, and seconds."""


def for_reading(fieldsets: Any) -> Any:
    """Return fieldsets as they are for whoever may only look."""
    return [
        (name, {**options, "fields": [_SHOWN.get(field, field) for field in options["fields"]]})
        for name, options in fieldsets
    ]


def readers() -> dict[str, Any]:
    """Return what an admin shows, by name, of fields that are the form's alone, and of those that hold objects."""
    fields = CampaignForm.base_fields
    names = [*PLACES, *map(options_field, WITH_OPTIONS)]
    found = {name: _reader(name, fields[name].label) for name in names}
    return found | {shown: _reader(name, fields[name].label) for name, shown in _SHOWN.items()}


def _reader(name: str, label: Any) -> Any:
    def read(admin: Any, campaign: Any) -> Any:
        if name in _SPANS:
            return triggering.span(getattr(campaign, name)) or "-"
        return _said(getattr(campaign, name) if name in _SHOWN else opened(campaign)[name])

    return display(description=label)(read)


def _said(value: Any) -> Any:
    """Return a value in lines: a mapping's with their names, and buttons."""
    if isinstance(value, dict):
        return (
            format_html_join("", "<div>{}: {}</div>", ((key, _said(one)) for key, one in value.items()))
            or "-"
        )
    if isinstance(value, list):
        return format_html_join("", "<div>{}</div>", ((_said(one),) for one in value)) or "-"
    return _("Yes") if value is True else value or "-"


def public_url(request: HttpRequest) -> str:
    """Return where devices reach this hub, empty where only http:// leads to it."""
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL)
    address = request.build_absolute_uri("/").rstrip("/")
    return address if address.startswith("https://") else ""


def context_of(request: HttpRequest, campaign: Any) -> dict[str, Any]:
    """Return what the page has besides its form: the variables to pick from."""
    application = campaign.application if campaign is not None else None
    if application is None:
        mine = list(staff.applications(request, Power.WRITE)[: MOST_APPLICATIONS + 1])
        application = mine[0] if len(mine) == 1 else None
    known = known_attributes(application.pk) if application else []
    return {
        "variables": [{"name": one.name, "example": one.example, "people": one.people} for one in known],
        "hub_variables": SUBSCRIBER,
        "public_url": settings.PUBLIC_URL,
        "application_locale": application.locale if application else "",
    }
