"""The admin's menu: what marketers do every day first, what operators need last."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _

from devices import staff


def _item(title: str, icon: str, model: str, permission: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist")}
    return {**item, "permission": permission or "notifyhub.sidebar.is_member"}


def is_member(request: HttpRequest) -> bool:
    """Return whether the person works in any application."""
    return bool(staff.roles(request)) or is_superuser(request)


def is_superuser(request: HttpRequest) -> bool:
    """Return whether the person runs the hub."""
    return bool(request.user.is_superuser)


def account(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the links of the person's own menu."""
    return [{"title": _("Second factor"), "link": reverse("admin:devices_second_factor")}]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu's groups; Unfold leaves out what a person may not see."""
    groups = _groups()
    links = {str(item["link"]) for group in groups for item in group["items"]}
    here = [link for link in links if request.path.startswith(link)]
    index = str(reverse_lazy("admin:index"))
    shown = max(here, key=len, default="")
    for group in groups:
        for item in group["items"]:
            # a page below another's address, as the calendar below the campaigns, is that page alone
            item["active"] = str(item["link"]) == shown and (shown != index or request.path == index)
    return groups


def _groups() -> list[dict[str, Any]]:
    start = {"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")}
    return [
        {"items": [start]},
        {
            "title": "Messaging",
            "separator": True,
            "items": [
                _item("Campaigns", "campaign", "campaigns_campaign"),
                {
                    "title": "Calendar",
                    "icon": "calendar_month",
                    "link": reverse_lazy("admin:campaigns_calendar"),
                    "permission": "notifyhub.sidebar.is_member",
                },
                _item("Runs", "rocket_launch", "delivery_run"),
                _item("Experiments", "science", "campaigns_experiment"),
                {
                    "title": "Why?",
                    "icon": "help",
                    "link": reverse_lazy("admin:campaigns_why"),
                    "permission": "notifyhub.sidebar.is_member",
                },
                _item("Segments", "group_work", "devices_segment"),
                _item("Categories", "sell", "devices_category"),
            ],
        },
        {
            "title": "Events",
            "separator": True,
            "items": [
                _item("Rules", "alt_route", "campaigns_rule"),
                _item("Event types", "category", "campaigns_eventtype"),
                _item("Schedules", "schedule", "campaigns_schedule"),
                _item("Events", "bolt", "campaigns_event"),
            ],
        },
        {
            "title": "Audience",
            "separator": True,
            "items": [
                _item("Subscribers", "person", "devices_subscriber"),
                _item("Devices", "devices", "devices_device"),
                _item("Test devices", "build", "campaigns_testdevice"),
                _item("Imports", "upload_file", "devices_import"),
            ],
        },
        {
            "title": "Delivery",
            "separator": True,
            "collapsible": True,
            "items": [
                _item("Stops", "front_hand", "delivery_hold"),
                _item("Incidents", "emergency_home", "delivery_incident"),
                _item("Gates", "door_front", "delivery_gate"),
                _item("Credentials", "key", "delivery_credential"),
                _item("Stuck pages", "pageview", "delivery_page"),
                _item("Stuck parcels", "package_2", "delivery_parcel"),
            ],
        },
        {
            "title": "Settings",
            "separator": True,
            "collapsible": True,
            "items": [
                _item("Alert rules", "notification_important", "delivery_alertrule"),
                _item("Applications", "apps", "devices_application"),
                _item("Members", "badge", "devices_membership"),
                _item("API keys", "vpn_key", "devices_apikey"),
                _item("Signing keys", "draw", "devices_signingkey"),
                _item("Accounts", "manage_accounts", "auth_user", "notifyhub.sidebar.is_superuser"),
            ],
        },
    ]
