"""Subscriber tokens are believed only as far as their key, their claims and the database go."""

import base64
import json
import re
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey, OKPKey

from devices import tokens
from devices.models import Application, Device, SigningKey, Subscriber


class People:
    def __init__(self) -> None:
        self.application = Application.objects.create(name="Shop", slug="shop")
        self.subscriber = Subscriber.objects.create(application=self.application, external_id="ada")
        self.device = Device.objects.create(
            application=self.application, subscriber=self.subscriber, platform="tv", provider="socket"
        )

    def claims(self, **other: Any) -> dict[str, Any]:
        now = time.time()
        return {
            "app": str(self.application.uid),
            "sub": "ada",
            "device": str(self.device.uid),
            "aud": "notifyhub",
            "iat": now,
            "exp": now + 60,
            **other,
        }

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        key = tokens.signing_key(self.application)
        return jws.serialize_compact(
            {"alg": "HS256", "kid": key.kid, **header}, json.dumps(claims), OctKey.import_key(key.jwk)
        )


@pytest.fixture
def people(db: None) -> People:
    tokens._keys.clear()
    return People()


def refused(token: str, said: str) -> None:
    with pytest.raises(tokens.TokenError, match=said):
        tokens.verify(token)


def test_a_minted_token_says_whose_device_it_is(people: People) -> None:
    identity = tokens.verify(tokens.mint(people.subscriber, people.device))
    assert identity.application_id == people.application.pk
    assert identity.application_uid == people.application.uid
    assert (identity.subscriber_id, identity.subscriber_uid) == (people.subscriber.pk, people.subscriber.uid)
    assert (identity.device_id, identity.device_uid, identity.platform) == (
        people.device.pk,
        people.device.uid,
        "tv",
    )
    assert identity.external_id == "ada"
    assert identity.expires_at - identity.issued_at == pytest.approx(3600)


def test_the_hubs_key_is_made_once(people: People) -> None:
    tokens.mint(people.subscriber, people.device)
    tokens.mint(people.subscriber, people.device)
    assert SigningKey.objects.count() == 1


def test_a_service_may_sign_with_its_own_ed25519_key(people: People) -> None:
    own = OKPKey.generate_key("Ed25519")
    SigningKey.objects.create(
        application=people.application, kid="own", algorithm="EdDSA", jwk=own.as_dict(private=False)
    )
    for name, expectation in (("EdDSA", pytest.warns(SecurityWarning)), ("Ed25519", nullcontext())):
        with expectation:
            token = jws.serialize_compact(
                {"alg": name, "kid": "own"}, json.dumps(people.claims()), own, algorithms=[name]
            )
        assert tokens.verify(token).external_id == "ada"


def test_a_public_key_is_never_taken_as_a_shared_secret(people: People) -> None:
    own = OKPKey.generate_key("Ed25519")
    public = own.as_dict(private=False)
    SigningKey.objects.create(application=people.application, kid="own", algorithm="EdDSA", jwk=public)
    shared = OctKey.import_key({"kty": "oct", "k": public["x"]})
    token = jws.serialize_compact({"alg": "HS256", "kid": "own"}, json.dumps(people.claims()), shared)
    refused(token, "signs with EdDSA")


def test_an_unsigned_token_is_refused(people: People) -> None:
    kid = tokens.signing_key(people.application).kid

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    refused(f"{part({'alg': 'none', 'kid': kid})}.{part(people.claims())}.", "signs with HS256")


def test_a_changed_token_is_refused(people: People) -> None:
    head, body, signature = tokens.mint(people.subscriber, people.device).split(".")
    refused(f"{head}.{body}.{signature[::-1]}", "signature")
    refused(f"{head}.{body[:-2]}AA.{signature}", "signature")
    refused(f"{head}.{body}", "three parts")
    refused("", "three parts")
    refused("a.b.c", "header")
    refused("x" * 5000 + "..", "three parts")
    refused("ä.b.c", "header")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"aud": "somebody"}, "aud"),
        ({"aud": []}, "aud"),
        ({"app": str(uuid4())}, "another application"),
        ({"sub": "bob"}, "subscriber is not known"),
        ({"device": str(uuid4())}, "not registered"),
        ({"device": "tv"}, "claims cannot be read"),
        ({"exp": 1}, "expired"),
        ({"exp": "tomorrow"}, "claims cannot be read"),
        ({"exp": time.time() + 90_000}, "24 hours"),
        ({"iat": time.time() + 3600, "exp": time.time() + 7200}, "future"),
        ({"iat": None}, "claims cannot be read"),
    ],
)
def test_wrong_claims_are_refused(people: People, other: dict[str, Any], said: str) -> None:
    refused(people.signed(people.claims(**other)), said)


@pytest.mark.parametrize(
    "header", [{"crit": ["b64"], "b64": False}, {"jku": "https://example.com"}, {"zip": "DEF"}]
)
def test_a_header_with_more_than_it_needs_is_refused(people: People, header: dict[str, Any]) -> None:
    head, body, signature = people.signed(people.claims()).split(".")
    known = json.loads(base64.urlsafe_b64decode(head + "=="))
    more = base64.urlsafe_b64encode(json.dumps({**known, **header}).encode()).decode().rstrip("=")
    refused(f"{more}.{body}.{signature}", "header has|header cannot be read")


def test_one_application_cannot_speak_for_another(people: People) -> None:
    other = Application.objects.create(name="Other", slug="other")
    stranger = Subscriber.objects.create(application=other, external_id="ada")
    claims = people.claims(app=str(people.application.uid))
    key = tokens.signing_key(other)
    token = jws.serialize_compact(
        {"alg": "HS256", "kid": key.kid}, json.dumps(claims), OctKey.import_key(key.jwk)
    )
    refused(token, "another application")
    refused(tokens.mint(stranger, people.device), "somebody else")


def test_a_retired_key_and_an_unknown_one_are_refused(people: People) -> None:
    token = tokens.mint(people.subscriber, people.device)
    SigningKey.objects.update(retired_at=timezone.now())
    refused(token, "retired")
    tokens._keys.clear()
    SigningKey.objects.all().delete()
    refused(token, "not known")


def test_tokens_from_before_a_revocation_are_refused_and_later_ones_good(people: People) -> None:
    old = tokens.mint(people.subscriber, people.device)
    issued = tokens.verify(old).issued_at
    Subscriber.objects.update(revoked_before=datetime.fromtimestamp(issued + 0.001, UTC))
    refused(old, "revoked")
    assert tokens.verify(people.signed(people.claims(iat=issued + 0.002))).external_id == "ada"


def test_a_retired_device_is_refused_except_to_register_again(people: People) -> None:
    token = tokens.mint(people.subscriber, people.device)
    Device.objects.update(state="retired")
    refused(token, "retired")
    assert tokens.verify(token, unregistered=True).device_id == people.device.pk


def test_an_unregistered_device_may_pass_where_it_registers(people: People) -> None:
    uid = uuid4()
    token = tokens.mint(people.subscriber, uid)
    refused(token, "PUT /api/v1/devices")
    identity = tokens.verify(token, unregistered=True)
    assert (identity.device_id, identity.device_uid, identity.platform) == (None, uid, "")


def test_a_token_is_good_for_a_day_at_most(people: People) -> None:
    assert tokens.issue(people.subscriber, people.device, seconds=86_400)
    for seconds in (0, -1, 86_401):
        with pytest.raises(ValueError, match="86400"):
            tokens.mint(people.subscriber, people.device, seconds=seconds)


def test_no_refusal_repeats_the_token(people: People) -> None:
    token = people.signed(people.claims(exp=1))
    with pytest.raises(tokens.TokenError) as error:
        tokens.verify(token)
    assert not any(part in str(error.value) for part in token.split("."))


def test_many_at_once_are_believed_and_refused_as_one_alone(
    people: People, django_assert_num_queries: Any
) -> None:
    good = [tokens.mint(people.subscriber, people.device) for _ in range(20)]
    other = Subscriber.objects.create(application=people.application, external_id="eve")
    bad = [
        "no token",
        people.signed(people.claims(exp=1)),
        tokens.mint(people.subscriber, uuid4()),
        tokens.mint(other, people.device),
        people.signed(people.claims(sub="nobody")),
        people.signed(people.claims(), kid="unknown"),
    ]
    tokens.verify(good[0])  # the key is known
    with django_assert_num_queries(1):
        found = tokens.verify_many(good)
    assert found == [(tokens.verify(token), []) for token in good]
    mixed = tokens.verify_many([*bad, good[0]])
    assert mixed[-1] == found[0]
    for token, one in zip(bad, mixed[:-1], strict=True):
        assert isinstance(one, tokens.TokenError)
        refused(token, re.escape(str(one)))


def test_many_at_once_know_of_a_revocation_and_a_retirement(people: People) -> None:
    token = tokens.mint(people.subscriber, people.device)
    Subscriber.objects.update(revoked_before=timezone.now() + timedelta(seconds=1))
    assert "revoked" in str(tokens.verify_many([token])[0])
    Subscriber.objects.update(revoked_before=None)
    Device.objects.update(state="retired")
    assert "retired" in str(tokens.verify_many([token])[0])
