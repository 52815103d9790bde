"""Which of two credentials a provider is shown, and what happens when it refuses one."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from delivery import credentials, gates, runs
from delivery.credential_input import new_vapid_key
from delivery.draining import plan_one, send_one
from delivery.models import Credential, Gate
from delivery.senders.contract import Credential as Shown
from delivery.senders.contract import Envelope, Result, Verdict
from delivery.senders.network import Network
from devices.models import Application
from tests.delivery import world

pytestmark = pytest.mark.django_db(databases=["default", "log"], transaction=True)


@pytest.fixture
def app() -> Application:
    credentials._cached.clear()
    return world.application()


def store(
    app: Application, provider: str = "fcm", slot: int = 1, *, age: int = 0, **values: Any
) -> Credential:
    secret = {"private_key": new_vapid_key()} if provider == "webpush" else {"name": f"slot {slot}"}
    return Credential.objects.create(
        application=app,
        provider=provider,
        slot=slot,
        secret=secret,
        fingerprint=f"{slot}" * 16,
        stored_at=timezone.now() - timedelta(days=age),
        **values,
    )


def shown(app: Application, provider: str = "fcm") -> Any:
    return credentials.credential_for(app.pk, provider, fresh=True).secret


def test_senders_reach_their_providers_as_the_settings_say(settings: Any) -> None:
    settings.PROVIDER_PROXY, settings.PROVIDER_CA_FILE = "http://proxy.test:3128", "/etc/ca.pem"
    settings.PROVIDER_SECONDS, settings.PROVIDER_PING_SECONDS = 5.0, 6.0
    settings.PROVIDER_CONNECTION_SECONDS = 70.0
    credentials.sender_for.cache_clear()
    for provider in ("fcm", "apns", "webpush"):
        made: Any = credentials.sender_for(provider)
        assert made._network == Network("http://proxy.test:3128", "/etc/ca.pem", 5.0, 70.0, 6.0)
    credentials.sender_for.cache_clear()


def test_the_newest_is_shown(app: Application) -> None:
    store(app, slot=1, age=3)
    assert shown(app) == {"name": "slot 1"}
    store(app, slot=2, age=1)
    assert shown(app) == {"name": "slot 2"}


def test_one_that_has_ended_or_was_refused_makes_room_for_the_other(app: Application) -> None:
    store(app, slot=1, age=3)
    newer = store(app, slot=2, expires_at=timezone.now() - timedelta(seconds=1))
    assert shown(app) == {"name": "slot 1"}
    Credential.objects.filter(pk=newer.pk).update(expires_at=timezone.now() + timedelta(days=1))
    assert shown(app) == {"name": "slot 2"}
    Credential.objects.filter(pk=newer.pk).update(refused_at=timezone.now())
    assert shown(app) == {"name": "slot 1"}


def test_when_none_is_good_the_newest_is_shown(app: Application) -> None:
    store(app, slot=1, age=3, refused_at=timezone.now())
    store(app, slot=2, refused_at=timezone.now())
    assert shown(app) == {"name": "slot 2"}


def test_both_keys_of_web_push_are_shown_the_newest_first(app: Application) -> None:
    old, new = store(app, "webpush", 1, age=3), store(app, "webpush", 2)
    assert shown(app, "webpush") == {"keys": [new.secret["private_key"], old.secret["private_key"]]}


def test_the_lists_of_the_settings_say_where_web_push_may_send(app: Application, settings: Any) -> None:
    settings.WEB_PUSH_HOSTS, settings.WEB_PUSH_PRIVATE_HOSTS = ["a.test"], ["b.test"]
    store(app, "webpush", settings={"subject": "mailto:push@example.com"})
    found = credentials.credential_for(app.pk, "webpush", fresh=True)
    assert found.settings == {
        "subject": "mailto:push@example.com",
        "hosts": ["a.test"],
        "private": ["b.test"],
    }


class Refusing(world.FakeSender):
    """A provider that refuses the credentials of a name."""

    refused = ""

    def send(self, envelope: Envelope, credential: Shown, **how: Any) -> Any:
        if credential.secret["name"] == self.refused:
            for index in range(len(envelope.messages)):
                yield Result(index, Verdict.SHUT, "unauthenticated", left=index > 0)
            return
        yield from super().send(envelope, credential, **how)


def test_a_refused_credential_is_replaced_by_the_other_and_nothing_is_lost(
    app: Application, monkeypatch: pytest.MonkeyPatch, nobody_online: None
) -> None:
    from delivery import pushing

    sender = Refusing()
    sender.refused = "slot 2"
    monkeypatch.setattr(pushing, "sender_for", lambda name: sender)
    store(app, slot=1, age=3)
    newer = store(app, slot=2)
    world.people(app, 3, "fcm")
    run = world.launch(app)
    while plan_one("normal") or send_one("fcm", "normal"):
        pass
    assert runs.balances(run).progress.outcomes == {"sent": 3}
    assert gates.state(app.pk, "fcm").state == Gate.State.OPEN
    newer.refresh_from_db()
    assert newer.refused_reason == "unauthenticated"


def test_the_last_credential_that_is_refused_shuts_the_gate(
    app: Application, monkeypatch: pytest.MonkeyPatch, nobody_online: None
) -> None:
    from delivery import pushing

    sender = Refusing()
    sender.refused = "slot 1"
    monkeypatch.setattr(pushing, "sender_for", lambda name: sender)
    store(app, slot=1)
    world.people(app, 3, "fcm")
    run = world.launch(app)
    while plan_one("normal") or send_one("fcm", "normal"):
        pass
    gate = gates.state(app.pk, "fcm")
    assert (gate.state, "unauthenticated" in gate.reason) == (Gate.State.SHUT, True)
    assert runs.balances(run).progress.waiting == 3


def test_a_refused_vapid_key_is_never_replaced_since_subscriptions_know_it_for_life(app: Application) -> None:
    store(app, "webpush", 1, age=3)
    store(app, "webpush", 2)
    credentials.refused(credentials.credential_for(app.pk, "webpush", fresh=True), "webpush", "vapid_refused")
    assert gates.state(app.pk, "webpush").state == Gate.State.SHUT
    assert len(shown(app, "webpush")["keys"]) == 2
