"""Fetches each page of the admin over a large application: `python -m bench.admin_pages ASKED.json`."""

import importlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.admin import Asked, Measured
from bench.admin import Page as Fetched
from bench.course import tell


def main(path: str) -> int:
    """Make the application, fetch its pages, and write what that took."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    import django

    import notifyhub  # noqa: F401  (prepares imports that apns2 needs)

    django.setup()
    from django.conf import settings
    from django.test import Client

    from bench.admin_world import populate
    from notifyhub.collecting import collect_less

    settings.ALLOWED_HOSTS = ["testserver"]
    asked = msgspec.json.decode(Path(path).read_bytes(), type=Asked)
    began = time.monotonic()
    owner = populate(asked)
    seconds = round(time.monotonic() - began, 1)
    tell(f"made in {seconds:.1f} s")
    client = Client(raise_request_exception=False)
    client.force_login(owner)
    collect_less()  # as a web process does
    pages, refused = [], []
    for name, address in addresses():
        if asked.only not in name:
            continue
        fetched = fetch(client, name, address, asked.rounds)
        if isinstance(fetched, str):
            refused.append(fetched)
        else:
            pages.append(fetched)
            tell(f"{fetched.milliseconds:8.1f} ms  {fetched.queries:3} queries  {name}")
    Path(asked.out).write_bytes(msgspec.json.encode(Measured(pages, seconds, refused)))
    return 0


def addresses() -> Iterator[tuple[str, str]]:
    """Yield the name and address of every page that can be looked at: lists, an object of each kind, buttons."""
    from django.contrib import admin
    from django.urls import reverse

    from campaigns.models import Campaign
    from delivery.models import Run
    from devices.models import Subscriber

    yield "dashboard", reverse("admin:index")
    for model in admin.site._registry:
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        if model._meta.app_label not in ("devices", "delivery", "campaigns"):
            continue
        yield f"{label} list", reverse(f"admin:{label}_changelist")
        if model._default_manager.count() > 100 * 100:
            yield f"{label} list, page 100", reverse(f"admin:{label}_changelist") + "?p=100"
        found = model._default_manager.order_by("-pk").first()
        if found is not None:
            yield f"{label} page", reverse(f"admin:{label}_change", args=[found.pk])
            yield f"{label} history", reverse(f"admin:{label}_history", args=[found.pk])
        if admin.site._registry[model].search_fields:
            yield f"{label} search", reverse(f"admin:{label}_changelist") + "?q=person-0000777"
    run = Run.objects.order_by("-created_at")[0]
    for name in ("change", "numbers", "report", "report_csv", "recall", "cancel", "pause"):
        yield f"large run {name}", reverse(f"admin:delivery_run_{name}", args=[run.pk])
    some = Run.objects.order_by("-created_at").values_list("pk", flat=True)[:6]
    yield (
        "runs side by side",
        reverse("admin:delivery_run_compare") + "?" + "&".join(f"run={key}" for key in some),
    )
    person = Subscriber.objects.order_by("pk")[777]
    yield "why", reverse("admin:campaigns_why") + f"?run={run.pk}&subscriber={person.external_id}"
    yield "why, a person", reverse("admin:campaigns_why") + f"?person={person.pk}"
    yield "calendar", reverse("admin:campaigns_calendar")
    for name, chosen in (("everybody", True), ("a segment", False)):
        campaign = Campaign.objects.filter(segment__isnull=chosen).order_by("-pk")[0]
        yield f"check and launch, {name}", reverse("admin:campaigns_campaign_preflight", args=[campaign.pk])
    yield "new campaign", reverse("admin:campaigns_campaign_add")


def fetch(client: Any, name: str, address: str, rounds: int) -> Fetched | str:
    """Fetch a page so often; return its figures, or a sentence when it is not there."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        answer = client.get(address)
    queries = len(captured)  # counted now: the next request empties the list
    if answer.status_code != 200:
        return f"{name}: {address} answered {answer.status_code}"
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        client.get(address)
        took.append((time.perf_counter() - began) * 1000)
    return Fetched(
        name,
        round(statistics.median(took), 1),
        round(max(took), 1),
        queries,
        round(len(answer.content) / 1024, 1),
    )


if __name__ == "__main__":
    # by its own name, as the other courses are
    sys.exit(importlib.import_module("bench.admin_pages").main(sys.argv[1]))
