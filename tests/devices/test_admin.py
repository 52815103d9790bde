"""The admin pages of applications, keys, people and segments, used as members of the staff use them."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from joserfc.jwk import OKPKey

from devices import keys
from devices.admin.people import mask
from devices.models import (
    ApiKey,
    Application,
    Category,
    Closing,
    Device,
    Membership,
    Preference,
    Role,
    Segment,
    SigningKey,
    Subscriber,
)
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


@pytest.fixture
def harbour() -> World:
    return build("Harbour")


def sign_in(world: World, role: Role, name: str = "") -> Client:
    client = Client()
    client.force_login(member(name or f"a-{role}", world.application, role))
    return client


def add(client: Client, model: str, **posted: Any) -> Any:
    return client.post(reverse(f"admin:devices_{model}_add"), posted, follow=True)


def errors(response: Any) -> str:
    assert response.status_code == 200
    return json.dumps(response.context["adminform"].form.errors, ensure_ascii=False)


# -- roles


@pytest.mark.parametrize(
    ("role", "allowed"),
    [(Role.VIEWER, 403), (Role.MARKETER, 200), (Role.APPROVER, 200), (Role.ADMINISTRATOR, 200)],
)
def test_segments_are_made_by_editors_and_above(meadow: World, role: Role, allowed: int) -> None:
    assert sign_in(meadow, role).get(reverse("admin:devices_segment_add")).status_code == allowed


@pytest.mark.parametrize("model", ["apikey", "signingkey", "membership"])
@pytest.mark.parametrize(
    ("role", "allowed"),
    [(Role.VIEWER, 403), (Role.MARKETER, 403), (Role.APPROVER, 403), (Role.ADMINISTRATOR, 200)],
)
def test_keys_and_members_are_made_by_owners_only(
    meadow: World, model: str, role: Role, allowed: int
) -> None:
    assert sign_in(meadow, role).get(reverse(f"admin:devices_{model}_add")).status_code == allowed


def test_a_viewer_sees_an_object_and_cannot_save_it(meadow: World) -> None:
    viewer = sign_in(meadow, Role.VIEWER)
    segment = meadow.of(Segment)
    address = reverse("admin:devices_segment_change", args=[segment.pk])
    assert viewer.get(address).status_code == 200
    assert viewer.post(address, {"name": "Mine", "predicate": "{}"}).status_code == 403


def test_a_role_counts_only_in_its_own_application(meadow: World, harbour: World) -> None:
    user = member("two", meadow.application, Role.MARKETER)
    Membership.objects.create(user=user, application=harbour.application, role=Role.VIEWER)
    client = Client()
    client.force_login(user)
    mine, theirs = (
        reverse("admin:devices_segment_delete", args=[w.of(Segment).pk]) for w in (meadow, harbour)
    )
    assert client.get(mine).status_code == 200
    assert client.get(theirs).status_code == 403
    page = client.post(
        reverse("admin:devices_category_changelist"),
        {
            "action": "delete_selected",
            "_selected_action": [harbour.of(Category).pk],
            "post": "yes",
            "index": 0,
        },
        follow=True,
    )
    assert page.status_code in (200, 403)
    assert Category.objects.filter(pk=harbour.of(Category).pk).exists()


# -- the application of an object


def test_the_only_application_is_preset_and_not_asked_for(meadow: World) -> None:
    client = sign_in(meadow, Role.MARKETER)
    assert 'name="application"' not in client.get(reverse("admin:devices_segment_add")).content.decode()
    add(client, "segment", name="Germans", predicate='{"locale": "de"}')
    assert Segment.objects.get(name="Germans").application == meadow.application


def test_a_member_of_several_chooses_among_those_where_they_may(meadow: World, harbour: World) -> None:
    third = build("Quarry").application
    user = member("three", meadow.application, Role.MARKETER)
    Membership.objects.create(user=user, application=harbour.application, role=Role.MARKETER)
    Membership.objects.create(user=user, application=third, role=Role.VIEWER)
    client = Client()
    client.force_login(user)
    form = client.get(reverse("admin:devices_segment_add")).context["adminform"].form
    assert set(form.fields["application"].queryset) == {meadow.application, harbour.application}
    answer = add(client, "segment", name="Sly", predicate='{"locale": "de"}', application=third.pk)
    assert "valid choice" in errors(answer)


def test_the_application_of_an_object_is_never_changed(meadow: World, harbour: World) -> None:
    user = member("two", meadow.application, Role.ADMINISTRATOR)
    Membership.objects.create(user=user, application=harbour.application, role=Role.ADMINISTRATOR)
    client = Client()
    client.force_login(user)
    segment = meadow.of(Segment)
    posted = {"name": "Moved", "predicate": '{"locale": "de"}', "application": harbour.application.pk}
    client.post(reverse("admin:devices_segment_change", args=[segment.pk]), posted)
    segment.refresh_from_db()
    assert segment.name == "Moved" and segment.application == meadow.application


def test_a_name_that_is_taken_is_a_message_and_not_a_server_error(meadow: World) -> None:
    client = sign_in(meadow, Role.MARKETER)
    answer = add(client, "segment", name=meadow.of(Segment).name, predicate='{"locale": "de"}')
    assert "already exists" in errors(answer)


# -- applications and members


def test_only_superusers_add_applications(meadow: World, admin_client: Client) -> None:
    assert (
        sign_in(meadow, Role.ADMINISTRATOR).get(reverse("admin:devices_application_add")).status_code == 403
    )
    add(
        admin_client,
        "application",
        name="New",
        slug="new",
        time_zone="Europe/Berlin",
        locale="de",
        origins="[]",
    )
    assert Application.objects.get(slug="new").locale == "de"


def test_an_origin_with_a_path_is_refused_and_named(admin_client: Client) -> None:
    answer = add(
        admin_client,
        "application",
        name="New",
        slug="new",
        time_zone="UTC",
        locale="en",
        origins='["https://app.example.com/x"]',
    )
    assert "“https://app.example.com/x” is no web origin" in errors(answer)


def test_an_administrator_adds_a_member_by_user_name(meadow: World) -> None:
    User.objects.create_user("nina", is_staff=True)
    add(sign_in(meadow, Role.ADMINISTRATOR), "membership", username="nina", role="marketer")
    assert Membership.objects.get(user__username="nina").application == meadow.application


@pytest.mark.parametrize(
    ("name", "said"),
    [("nobody", "There is no active staff account “nobody”"), ("Meadow-owner", "already exists")],
)
def test_a_member_that_is_unknown_or_there_already_is_refused(meadow: World, name: str, said: str) -> None:
    answer = add(sign_in(meadow, Role.ADMINISTRATOR), "membership", username=name, role="marketer")
    assert said in errors(answer)
    assert Membership.objects.count() == 2


# -- keys


def test_a_new_key_is_shown_once_and_works(meadow: World) -> None:
    client = sign_in(meadow, Role.ADMINISTRATOR)
    posted = {
        "name": "shop",
        "scopes": ["events:write"],
        "lanes": ["bulk", "normal"],
        "source_prefixes": "[]",
    }
    page = add(client, "apikey", **posted).content.decode()
    key = ApiKey.objects.get(name="shop")
    plain = next(
        word
        for word in page.replace("<", " ").replace(">", " ").split()
        if word.startswith(f"nh_{key.prefix}_") and "…" not in word
    )
    assert keys.verify(plain).pk == key.pk
    assert key.lanes == ["normal", "bulk"] and key.application == meadow.application
    for address in (
        reverse("admin:devices_apikey_changelist"),
        reverse("admin:devices_apikey_change", args=[key.pk]),
    ):
        assert plain not in client.get(address).content.decode()


def test_an_unknown_scope_is_refused(meadow: World) -> None:
    answer = add(
        sign_in(meadow, Role.ADMINISTRATOR),
        "apikey",
        name="x",
        scopes=["all"],
        lanes=["bulk"],
        source_prefixes="[]",
    )
    assert "all is not one of the available choices" in errors(answer)


def test_revoking_a_key_asks_first_and_is_kept_in_its_history(meadow: World) -> None:
    client, key = sign_in(meadow, Role.ADMINISTRATOR), meadow.of(ApiKey)
    address = reverse("admin:devices_apikey_revoke", args=[key.pk])
    assert "Revoke the key" in client.get(address).content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None
    client.post(address)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert "is revoked" in client.get(reverse("admin:devices_apikey_history", args=[key.pk])).content.decode()


def test_only_owners_revoke(meadow: World) -> None:
    address = reverse("admin:devices_apikey_revoke", args=[meadow.of(ApiKey).pk])
    assert sign_in(meadow, Role.APPROVER).post(address).status_code == 403


def test_a_shared_signing_secret_is_made_by_the_hub_and_shown_once(meadow: World) -> None:
    page = add(sign_in(meadow, Role.ADMINISTRATOR), "signingkey", kid="k1", algorithm="HS256", public_key="")
    key = SigningKey.objects.get(kid="k1")
    assert key.jwk["kty"] == "oct" and key.jwk["k"] in page.content.decode()


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_public_key_is_taken_as_pem_or_jwk(meadow: World, form: str) -> None:
    made = OKPKey.generate_key("Ed25519")
    text = made.as_pem(private=False).decode() if form == "pem" else json.dumps(made.as_dict(private=False))
    add(sign_in(meadow, Role.ADMINISTRATOR), "signingkey", kid="k2", algorithm="EdDSA", public_key=text)
    assert SigningKey.objects.get(kid="k2").jwk["x"] == made.as_dict(private=False)["x"]


def test_a_private_key_is_refused_where_the_public_one_belongs(meadow: World) -> None:
    made = OKPKey.generate_key("Ed25519")
    for text in (made.as_pem(private=True).decode(), json.dumps(made.as_dict(private=True))):
        answer = add(
            sign_in(meadow, Role.ADMINISTRATOR, f"o{len(text)}"),
            "signingkey",
            kid="k3",
            algorithm="EdDSA",
            public_key=text,
        )
        assert "This is the private key" in errors(answer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Paste the public key"),
        ("hello", "This is no public key"),
        ("{", "This is no public key"),
        (json.dumps(OKPKey.generate_key("X25519").as_dict(private=False)), "this key is X25519"),
    ],
    ids=["nothing", "a word", "half of JSON", "another curve"],
)
def test_what_is_no_ed25519_key_is_refused_beside_the_field(meadow: World, text: str, said: str) -> None:
    answer = add(
        sign_in(meadow, Role.ADMINISTRATOR), "signingkey", kid="k4", algorithm="EdDSA", public_key=text
    )
    assert said in errors(answer)
    assert not SigningKey.objects.filter(kid="k4").exists()


@pytest.mark.parametrize("page", ["retire", "delete"])
def test_a_signing_key_that_goes_has_its_open_lines_closed(meadow: World, page: str) -> None:
    client = sign_in(meadow, Role.ADMINISTRATOR)
    key = SigningKey.objects.create(application=meadow.application, kid="k5", algorithm="HS256", jwk={})
    answer = client.post(reverse(f"admin:devices_signingkey_{page}", args=[key.pk]), {"post": "yes"})
    assert answer.status_code == 302
    assert list(Closing.objects.values_list("signing_key", flat=True)) == [key.pk]


# -- people


def test_a_token_is_masked() -> None:
    assert mask("f" * 150 + "abcd") == "…abcd (154 characters)"
    assert mask("short") == "••••••••"
    assert mask("") == "—"


def test_a_marketer_retires_a_device(meadow: World) -> None:
    device = meadow.of(Device)
    sign_in(meadow, Role.MARKETER).post(reverse("admin:devices_device_retire", args=[device.pk]))
    device.refresh_from_db()
    assert (device.state, device.retired_reason) == ("retired", "by_staff") and device.retired_at is not None


@pytest.mark.parametrize(
    ("language", "why"),
    [("en", "Somebody of the staff retired it."), ("de", "Es wurde im Team von Hand stillgelegt.")],
)
def test_a_retired_device_says_why_in_a_sentence(meadow: World, language: str, why: str) -> None:
    Device.objects.update(state="retired", retired_reason="by_staff")
    address = reverse("admin:devices_device_change", args=[meadow.of(Device).pk])
    answer = sign_in(meadow, Role.VIEWER).get(address, headers={"accept-language": language})
    page = answer.content.decode()
    assert why in page and "by_staff" not in page


def preferences(person: Subscriber, category: Category) -> dict[str, Any]:
    held = Preference.objects.get(subscriber=person)
    return {
        "external_id": person.external_id,
        "attributes": "{}",
        "devices-TOTAL_FORMS": 0,
        "devices-INITIAL_FORMS": 0,
        "preferences-TOTAL_FORMS": 2,
        "preferences-INITIAL_FORMS": 1,
        "preferences-0-id": held.pk,
        "preferences-0-subscriber": person.pk,
        "preferences-0-category": held.category_id,
        "preferences-0-allowed": "on",
        "preferences-1-subscriber": person.pk,
        "preferences-1-category": category.pk,
    }


def test_a_preference_of_another_applications_category_is_refused(meadow: World, harbour: World) -> None:
    client, person = sign_in(meadow, Role.MARKETER), meadow.of(Subscriber)
    address = reverse("admin:devices_subscriber_change", args=[person.pk])
    client.post(address, preferences(person, harbour.of(Category)))
    assert Preference.objects.filter(subscriber=person).count() == 1
    own = Category.objects.create(application=meadow.application, key="offers", name="Offers")
    client.post(address, preferences(person, own))
    assert Preference.objects.get(subscriber=person, category=own).allowed is False


def test_taking_consent_away_notes_when(meadow: World) -> None:
    person = meadow.of(Subscriber)
    posted = {**preferences(person, meadow.of(Category)), "preferences-TOTAL_FORMS": 1}
    sign_in(meadow, Role.MARKETER).post(reverse("admin:devices_subscriber_change", args=[person.pk]), posted)
    person.refresh_from_db()
    assert person.consent is False and person.consent_at is not None


def test_a_person_is_deleted_with_their_devices(meadow: World) -> None:
    person = meadow.of(Subscriber)
    sign_in(meadow, Role.MARKETER).post(
        reverse("admin:devices_subscriber_delete", args=[person.pk]), {"post": "yes"}
    )
    assert not Subscriber.objects.filter(pk=person.pk).exists()
    assert not Device.objects.filter(subscriber=person.pk).exists()


# -- segments


def test_a_predicate_that_cannot_be_read_is_refused_with_its_place(meadow: World) -> None:
    answer = add(sign_in(meadow, Role.MARKETER), "segment", name="x", predicate='{"all": [{"locael": "de"}]}')
    assert "/all/0" in errors(answer) and "locale" in errors(answer)


@pytest.mark.parametrize("model", ["subscriber", "device"])
def test_people_are_found_by_how_their_id_begins(meadow: World, model: str) -> None:
    client = Client()
    client.force_login(member("a-viewer", meadow.application, Role.VIEWER))
    address = reverse(f"admin:devices_{model}_changelist")
    for search, found in (("Meadow-per", 1), (" Meadow-person ", 1), ("person", 0), ("Harbour", 0), ("", 1)):
        assert client.get(address, {"q": search}).context["cl"].result_count == found, search
