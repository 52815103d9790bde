"""A demo subscriber's page: a browser that receives pushes live. Only the demo application has such pages."""

import hmac
from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.core.signing import Signer
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from devices import tokens
from devices.models import Device, Platform, Provider, Subscriber

DEMO = "demo"
"""The slug of the demo application."""


def page_path(subscriber: Subscriber) -> str:
    """Return the path of a demo subscriber's page; who knows it may read this subscriber's notifications."""
    return reverse("demo-page", args=[subscriber.external_id, _key(subscriber)])


def _key(subscriber: Subscriber) -> str:
    # Signed, not stored: it can be neither guessed nor carried over to another subscriber.
    return Signer(salt="notifyhub.demo_page").signature(str(subscriber.uid)).replace("/", "_")


def _subscriber(external_id: str) -> Subscriber:
    found = (
        Subscriber.objects.select_related("application")
        .filter(application__slug=DEMO, external_id=external_id)
        .first()
    )
    if found is None:
        raise Http404("No such demo subscriber: `manage.py demo` makes them.")
    return found


def _shown(external_id: str, key: str) -> Subscriber:
    subscriber = _subscriber(external_id)
    if not hmac.compare_digest(key.encode(), _key(subscriber).encode()):
        raise Http404("No such page.")
    return subscriber


def browser_of(subscriber: Subscriber) -> Device:
    """Return the WebSocket device that stands for the page in a browser, made on first use."""
    values: dict[str, Any] = {"application": subscriber.application, "provider": Provider.SOCKET}
    device, _ = Device.objects.get_or_create(
        subscriber=subscriber,
        platform=Platform.WEB,
        state=Device.State.ACTIVE,
        app_version="demo-page",
        defaults=values,
    )
    return device


@require_safe
@staff_member_required
def find(request: HttpRequest, external_id: str) -> HttpResponse:
    """Send a signed-in member of the staff on to a demo subscriber's page."""
    return redirect(page_path(_subscriber(external_id)))


@never_cache
@require_safe
def page(request: HttpRequest, external_id: str, key: str) -> HttpResponse:
    """Show the page that receives the subscriber's notifications live."""
    subscriber = _shown(external_id, key)
    return render(
        request,
        "demo/device.html",
        {
            "socket_path": "/ws/v1/",
            "token_url": reverse("demo-token", args=[external_id, key]),
            "subscriber": subscriber.external_id,
            "application": subscriber.application.name,
        },
    )


@never_cache
@require_POST
def token(request: HttpRequest, external_id: str, key: str) -> JsonResponse:
    """Answer with a subscriber token for the page's device, as a service's own backend would."""
    subscriber = _shown(external_id, key)
    return JsonResponse({"token": tokens.mint(subscriber, browser_of(subscriber))})
