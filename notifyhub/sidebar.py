"""The admin's menu: what marketers do every day first, what operators need last."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _

from devices import staff
from devices.models import Power


def _item(title: str, icon: str, model: str, permission: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist")}
    return {**item, "permission": permission or "notifyhub.sidebar.is_member"}


def is_member(request: HttpRequest) -> bool:
    """Return whether the person works in any application, or may add the first one."""
    return works_somewhere(request) or is_superuser(request)


def works_somewhere(request: HttpRequest) -> bool:
    """Return whether there is an application in which the person works."""
    return bool(staff.roles(request))


def reads_audit(request: HttpRequest) -> bool:
    """Return whether the person may read who did what."""
    return staff.may(request, Power.AUDIT) or is_superuser(request)


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
    start = {"title": _("Dashboard"), "icon": "dashboard", "link": reverse_lazy("admin:index")}
    return [
        {"items": [start]},
        {
            "title": _("Messaging"),
            "separator": True,
            "items": [
                _item(_("Campaigns"), "campaign", "campaigns_campaign"),
                {
                    "title": _("Calendar"),
                    "icon": "calendar_month",
                    "link": reverse_lazy("admin:campaigns_calendar"),
                    "permission": "notifyhub.sidebar.works_somewhere",
                },
                _item(_("Runs"), "rocket_launch", "delivery_run"),
                _item(_("Experiments"), "science", "campaigns_experiment"),
                {
                    "title": _("Why?"),
                    "icon": "help",
                    "link": reverse_lazy("admin:campaigns_why"),
                    "permission": "notifyhub.sidebar.works_somewhere",
                },
                _item(_("Segments"), "group_work", "devices_segment"),
                _item(_("Categories"), "sell", "devices_category"),
            ],
        },
        {
            "title": _("Events"),
            "separator": True,
            "items": [
                _item(_("Rules"), "alt_route", "campaigns_rule"),
                _item(_("Event types"), "category", "campaigns_eventtype"),
                _item(_("Schedules"), "schedule", "campaigns_schedule"),
                _item(_("Events"), "bolt", "campaigns_event"),
            ],
        },
        {
            "title": _("Audience"),
            "separator": True,
            "items": [
                _item(_("Subscribers"), "person", "devices_subscriber"),
                _item(_("Devices"), "devices", "devices_device"),
                _item(_("Test devices"), "build", "campaigns_testdevice"),
                _item(_("Imports"), "upload_file", "devices_import"),
            ],
        },
        {
            "title": _("Delivery"),
            "separator": True,
            "collapsible": True,
            "items": [
                _item(_("Stops"), "front_hand", "delivery_hold"),
                _item(_("Incidents"), "emergency_home", "delivery_incident"),
                _item(_("Gates"), "door_front", "delivery_gate"),
                _item(_("Credentials"), "key", "delivery_credential"),
                _item(_("Stuck pages"), "pageview", "delivery_page"),
                _item(_("Stuck parcels"), "package_2", "delivery_parcel"),
            ],
        },
        {
            "title": _("Settings"),
            "separator": True,
            "collapsible": True,
            "items": [
                _item(_("Alert rules"), "notification_important", "delivery_alertrule"),
                _item(_("Applications"), "apps", "devices_application"),
                _item(_("Members"), "badge", "devices_membership"),
                _item(_("Audit log"), "history", "devices_auditentry", "notifyhub.sidebar.reads_audit"),
                _item(_("API keys"), "vpn_key", "devices_apikey"),
                _item(_("Signing keys"), "draw", "devices_signingkey"),
                _item(_("Accounts"), "manage_accounts", "auth_user", "notifyhub.sidebar.is_superuser"),
            ],
        },
    ]
