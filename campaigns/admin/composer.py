"""The composer's page: which fields stand where, and what stands beside them."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.composing import TEXTS, override_field
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
    texts = [
        override_field(platform, text) for text in TEXTS if text != "subtitle" or platform == Platform.IOS
    ]
    return (platform.label, {"fields": [*texts, *_TABS[platform]], "classes": ["platform"]})


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
    (_("Other languages"), {"fields": ["locales"]}),
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
    (
        _("For developers: what has no field above"),
        {"fields": ["android", "ios", "web", "overrides", "base_revision"], "classes": ["collapse"]},
    ),
]


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
