"""Walks every address of the admin as somebody of another application: nothing of the first may show."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import models
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from devices.models import Membership, Role
from devices.scoped_admin import ScopedAdmin
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])

MARK, OTHER = "Zebra", "Quokka"
PART = "ebr"
"""What is searched for: part of the mark, because a page repeats what was searched for."""


@pytest.fixture
def zebra() -> World:
    return build(MARK)


@pytest.fixture
def quokka() -> World:
    return build(OTHER)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def stranger(quokka: World) -> Client:
    """Somebody with every right, in the other application."""
    return signed_in(quokka.of(Membership).user)


def admin_patterns() -> Iterator[tuple[str, str]]:
    """Yield the name and route of every address of the admin, nested ones too."""
    namespace = next(
        resolver
        for resolver in get_resolver().url_patterns
        if isinstance(resolver, URLResolver) and resolver.namespace == "admin"
    )
    yield from _patterns(namespace.url_patterns)


def _patterns(found: list[Any]) -> Iterator[tuple[str, str]]:
    for pattern in found:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name, str(pattern.pattern)


def addresses_of(row: models.Model) -> Iterator[str]:
    """Yield every address of the admin that names one object: change, delete, history, buttons and the rest."""
    prefix = f"{row._meta.app_label}_{row._meta.model_name}_"
    for name, route in admin_patterns():
        if name.startswith(prefix) and "object_id" in route:
            yield reverse(f"admin:{name}", args=[quote(row.pk)])


def lists_of(row: models.Model) -> Iterator[str]:
    prefix = f"admin:{row._meta.app_label}_{row._meta.model_name}"
    yield reverse(f"{prefix}_changelist")
    yield reverse(f"{prefix}_add")


def leaks(response: Any, mark: str = MARK) -> bool:
    return mark.lower() in response.getvalue().decode().lower()


def test_every_model_of_ours_in_the_admin_is_scoped_and_walked(zebra: World) -> None:
    ours = {m for m in admin.site._registry if m._meta.app_label in ("devices", "delivery", "campaigns")}
    assert {type(row) for row in zebra.rows} == ours
    assert all(isinstance(admin.site._registry[model], ScopedAdmin) for model in ours)


def test_an_object_of_another_application_is_not_found_at_any_address(zebra: World, stranger: Client) -> None:
    walked = 0
    for row in zebra.rows:
        for address in addresses_of(row):
            for response in (stranger.get(address), stranger.post(address, {"post": "yes"})):
                assert response.status_code == 404, (address, response.status_code)
                assert not leaks(response), address
                walked += 1
    assert walked >= len(zebra.rows) * 2 * 3


def test_lists_and_forms_of_a_stranger_hold_nothing_of_the_application(
    zebra: World, stranger: Client
) -> None:
    for row in zebra.rows:
        for address in lists_of(row):
            response = stranger.get(address)
            assert response.status_code in (200, 403), (address, response.status_code)
            assert not leaks(response), address


def test_searching_and_filtering_find_nothing_of_another_application(zebra: World, stranger: Client) -> None:
    for row in zebra.rows:
        address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
        queries: list[dict[str, Any]] = [{"q": PART}]
        queries += [
            {f"{field.name}__id__exact": related.pk}
            for field in row._meta.fields
            if isinstance(field, models.ForeignKey) and (related := getattr(row, field.name)) is not None
        ]
        for query in queries:
            response = stranger.get(address, query, follow=True)
            assert not leaks(response), (address, query)


def test_no_secret_field_can_be_searched_for_by_address(zebra: World) -> None:
    owner = signed_in(zebra.of(Membership).user)
    for model, model_admin in admin.site._registry.items():
        for name in getattr(model_admin, "secret_fields", ()):
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            assert owner.get(address, {f"{name}__startswith": "a"}).status_code == 400, (address, name)
    for model, lookup in (("application", "api_keys__digest"), ("subscriber", "devices__token")):
        address = reverse(f"admin:devices_{model}_changelist")
        assert owner.get(address, {f"{lookup}__startswith": "a"}).status_code == 400, lookup


def test_autocomplete_offers_nothing_of_another_application(zebra: World, stranger: Client) -> None:
    asked = 0
    for model in admin.site._registry:
        for field in model._meta.fields:
            if not isinstance(field, models.ForeignKey):
                continue
            query = {
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name,
                "field_name": field.name,
            }
            response = stranger.get(reverse("admin:autocomplete"), {**query, "term": ""})
            assert response.status_code in (200, 403, 404)
            assert not leaks(response), query
            asked += 1
    assert asked > 20


def test_actions_on_ticked_rows_do_not_reach_another_application(zebra: World, stranger: Client) -> None:
    for row in zebra.rows:
        address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
        actions = admin.site._registry[type(row)]._get_base_actions()
        for _, name, _ in actions:
            answer = {"action": name, "_selected_action": [row.pk], "post": "yes", "index": 0}
            response = stranger.post(address, answer, follow=True)
            assert not leaks(response), (address, name)
        assert type(row).objects.filter(pk=row.pk).exists()


def test_nobody_can_make_an_object_in_or_with_another_application(
    zebra: World, quokka: World, stranger: Client
) -> None:
    for row in zebra.rows:
        model = type(row)
        address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_add")
        before = model.objects.count()
        posted = {
            field.name: field.value_from_object(row) or ""
            for field in row._meta.fields
            if not isinstance(field, models.BinaryField)
        }
        posted = {name: value for name, value in posted.items() if isinstance(value, str | int)}
        response = stranger.post(address, {**posted, "application": zebra.application.pk})
        assert response.status_code in (200, 302, 403), (address, response.status_code)
        made = model.objects.order_by("-pk").first() if model.objects.count() > before else None
        if made is not None and hasattr(made, "application_id"):
            assert made.application_id == quokka.application.pk, address


def test_somebody_in_no_application_sees_nothing(zebra: World, django_user_model: Any) -> None:
    nobody = signed_in(django_user_model.objects.create_user("nobody", is_staff=True))
    for row in zebra.rows:
        for address in lists_of(row):
            assert nobody.get(address).status_code == 403
        for address in addresses_of(row):
            assert nobody.get(address).status_code == 404
    assert not leaks(nobody.get(reverse("admin:index")))


def test_the_dashboard_and_the_search_of_a_stranger_hold_nothing_of_the_application(
    zebra: World, stranger: Client
) -> None:
    for address in (reverse("admin:index"), reverse("admin:search") + f"?s={PART}&extended=1"):
        assert not leaks(stranger.get(address))


def test_whoever_is_not_signed_in_is_asked_to(zebra: World) -> None:
    anybody = Client()
    for row in zebra.rows:
        for address in [*addresses_of(row), *lists_of(row)]:
            for response in (anybody.get(address), anybody.post(address, {})):
                assert response.status_code == 302, address
                assert response["Location"].startswith(reverse("admin:login")), address


def test_a_removed_member_sees_nothing_from_the_next_request_on(zebra: World) -> None:
    membership = zebra.of(Membership)
    client = signed_in(membership.user)
    address = reverse("admin:campaigns_campaign_changelist")
    assert leaks(client.get(address))
    membership.delete()
    assert client.get(address).status_code == 403


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMINISTRATOR])
def test_no_page_renders_a_secret(zebra: World, role: Role) -> None:
    client = signed_in(member(f"a-{role}", zebra.application, role))
    for row in zebra.rows:
        for address in [*addresses_of(row), *lists_of(row)]:
            text = client.get(address, follow=True).getvalue().decode()
            assert not [secret for secret in zebra.secrets if secret in text], address


def test_a_superuser_sees_every_application(zebra: World, quokka: World, admin_client: Client) -> None:
    for row in zebra.rows + quokka.rows:
        prefix = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        assert admin_client.get(reverse(f"{prefix}_change", args=[row.pk])).status_code == 200, row
    lists = {f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist" for row in zebra.rows}
    for name in lists:
        page = admin_client.get(reverse(name))
        assert leaks(page, MARK) and leaks(page, OTHER), name
