"""The menu shows one place: the page that is open."""

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse

from devices.models import Application
from notifyhub.sidebar import navigation


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("admin:campaigns_why", "Why?"),
        ("admin:campaigns_calendar", "Calendar"),
        ("admin:campaigns_campaign_changelist", "Campaigns"),
        ("admin:campaigns_campaign_add", "Campaigns"),
        ("admin:campaigns_experiment_changelist", "Experiments"),
        ("admin:index", "Dashboard"),
    ],
)
def test_one_entry_is_shown_as_open(name: str, title: str) -> None:
    groups = navigation(RequestFactory().get(reverse(name)))
    assert [item["title"] for group in groups for item in group["items"] if item["active"]] == [title]


def test_a_page_without_an_entry_shows_none() -> None:
    groups = navigation(RequestFactory().get("/admin/password_change/"))
    assert not any(item["active"] for group in groups for item in group["items"])


@pytest.mark.django_db(databases=["default", "log"])
@pytest.mark.parametrize("applications", [0, 1])
def test_whoever_runs_the_hub_may_open_all_that_the_menu_shows(
    admin_client: Client, applications: int
) -> None:
    for _ in range(applications):
        Application.objects.create(name="Meadow", slug="meadow")
    page = admin_client.get(reverse("admin:index")).content.decode()
    every = {
        str(item["link"]) for group in navigation(RequestFactory().get("/admin/")) for item in group["items"]
    }
    shown = {link for link in every if f'href="{link}"' in page}
    assert len(every - shown) == (0 if applications else 2)
    assert {admin_client.get(link).status_code for link in shown} == {200}
