"""What every list of the admin says while nothing is in it: what it is for, and what to add first."""

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices.models import Application, AuditEntry, Membership, Power, Role, Subscriber
from devices.scoped_admin import ScopedAdmin
from tests.admin_world import build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])

OURS = sorted(
    (m for m in admin.site._registry if m._meta.app_label in ("devices", "delivery", "campaigns")),
    key=lambda model: model._meta.label,
)
NOTHING_TO_ADD = {"auditentry", "page", "parcel"}
"""Lists that fill by themselves, and are best empty."""
NEVER_EMPTY = (Application, Membership)
"""Lists that hold something for whoever is a member: their application, and their membership."""

SAYS = re.compile(r"data-empty>([^<]{40,})<")
STEP = re.compile(r'<a href="([^"]+)"[^>]* data-first-step>([^<]+)<')


def address_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def shown(browser: Client, model: type[Model], **query: str) -> str:
    answer = browser.get(address_of(model), query)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def as_member(role: Role) -> Client:
    """Sign in a member of an application in which nothing is; there is one of everything in another."""
    build("Zebra")
    browser = Client()
    browser.force_login(member("ada", Application.objects.create(name="Meadow", slug="meadow"), role))
    return browser


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_an_empty_list_says_what_it_is_for_and_links_to_what_to_add_first(
    model: type[Model], admin_client: Client
) -> None:
    if model is not Application:
        Application.objects.create(name="Meadow", slug="meadow")
    page = shown(admin_client, model)
    assert SAYS.search(page)
    steps = STEP.findall(page)
    assert bool(steps) == (model._meta.model_name not in NOTHING_TO_ADD)
    for address, _words in steps:
        assert admin_client.get(address).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_in_a_hub_without_an_application_each_list_says_to_add_one_first(
    model: type[Model], admin_client: Client
) -> None:
    assert not Application.objects.exists()
    page = shown(admin_client, model)
    assert SAYS.search(page)
    assert STEP.findall(page) == [(reverse("admin:devices_application_add"), "Add the first application")]
    assert ("There is no application yet" in page) == (model is not Application)


def test_whoever_may_add_none_does_not_enter_a_hub_without_an_application() -> None:
    stranger = Client()
    stranger.force_login(User.objects.create_user("sam", is_staff=True))
    assert {stranger.get(address_of(model)).status_code for model in OURS} == {403}


def test_with_an_application_nothing_says_to_add_one(admin_client: Client) -> None:
    Application.objects.create(name="Meadow", slug="meadow")
    page = shown(admin_client, Subscriber)
    assert "There is no application yet" not in page and reverse("admin:devices_application_add") not in page


def test_who_may_not_write_is_not_offered_an_import() -> None:
    offer = reverse("admin:devices_subscriber_import_csv")
    world = build("Harbour")
    for role in Role:
        browser = Client()
        browser.force_login(member(f"h-{role}", world.application, role))
        writes = Power.WRITE in role.powers
        assert (offer in shown(browser, Subscriber)) == writes, role
        assert browser.get(offer).status_code == (302 if writes else 403), role


def test_a_viewer_reads_the_same_without_a_link() -> None:
    viewer = as_member(Role.VIEWER)
    for model in OURS:
        if model not in (*NEVER_EMPTY, AuditEntry):
            page = shown(viewer, model)
            assert SAYS.search(page), model
            assert not STEP.search(page), model


def test_a_link_is_for_those_who_may_add_what_it_leads_to() -> None:
    marketer = as_member(Role.MARKETER)
    pages = {model._meta.model_name: shown(marketer, model) for model in OURS if model is not AuditEntry}
    words = {str(name): [said for _, said in STEP.findall(page)] for name, page in pages.items()}
    assert words["subscriber"] == ["Import a CSV file"], "a key is the administrators' to add"
    assert words["rule"] == ["Add an event type", "Write a campaign", "Add a rule"]
    assert words["run"] == ["Write a campaign"]
    assert not (words["apikey"] or words["credential"] or words["alertrule"] or words["hold"])


@pytest.mark.parametrize("query", [{"q": "nobody"}, {"consent__exact": "1"}])
def test_a_list_that_a_search_or_filter_left_empty_says_that(query: dict[str, str]) -> None:
    world = build("Zebra")
    Subscriber.objects.update(consent=False)
    browser = Client()
    browser.force_login(world.of(Membership).user)
    page = shown(browser, Subscriber, **query)
    assert "No results found" in page and not SAYS.search(page)
    full = shown(browser, Subscriber)
    assert "Zebra-person" in full and "No results found" not in full and not SAYS.search(full)


def test_an_order_is_no_filter() -> None:
    assert SAYS.search(shown(as_member(Role.VIEWER), Subscriber, o="1"))


def test_an_empty_list_costs_no_more_queries_than_one_with_a_row() -> None:
    meadow, zebra = as_member(Role.ADMINISTRATOR), Client()
    zebra.force_login(Membership.objects.get(user__username="Zebra-owner").user)

    def cost(browser: Client, model: type[Model]) -> int:
        shown(browser, model)
        with CaptureQueriesContext(connection) as queries:
            shown(browser, model)
        return len(queries)

    for model in OURS:
        if model not in NEVER_EMPTY:
            assert cost(meadow, model) <= cost(zebra, model), model


def test_every_list_of_ours_is_among_them() -> None:
    assert len(OURS) >= 25
    assert all(isinstance(admin.site._registry[model], ScopedAdmin) for model in OURS)
