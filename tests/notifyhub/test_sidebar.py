"""The menu shows one place: the page that is open."""

import pytest
from django.test import RequestFactory
from django.urls import reverse

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
