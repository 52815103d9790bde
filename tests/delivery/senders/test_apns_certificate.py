"""APNs by a certificate: what it may send, what it may not, and what is wrong with it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from delivery.content import Content
from delivery.senders.apns.sender import ApnsSender
from delivery.senders.contract import Credential, CredentialError, Envelope, Verdict
from delivery.senders.tokens import MemoryTokenStore, SharedTokens
from fleet.client import Fleet
from tests.delivery.senders.conftest import TOPIC
from tests.delivery.test_credential_input import P256, certificate, pem

Tokens = Callable[..., list[str]]
EnvelopeFor = Callable[..., Envelope]


@pytest.fixture
def sender() -> ApnsSender:
    return ApnsSender(SharedTokens(MemoryTokenStore()))


def shown(fleet: Fleet, *, environment: str | None = None, topics: list[str] | None = None) -> Credential:
    made = fleet.make_apns_certificate(topics=topics or [TOPIC], environment=environment)
    secret = {name: made[name] for name in ("certificate", "private_key")}
    urls = {"base_url": fleet.apns_url, "sandbox_url": fleet.apns_sandbox_url, "ca_file": fleet.ca_file}
    return Credential(str(uuid4()), 1, secret, {"topic": TOPIC}, **urls)


def test_a_certificate_sends_without_a_token(
    fleet: Fleet, sender: ApnsSender, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(apns_tokens(30))
    results = list(sender.send(envelope, shown(fleet)))
    assert {result.verdict for result in results} == {Verdict.SENT} and len(results) == 30
    assert fleet.arrived(run=envelope.run)["apns"]["devices"] == 30


def test_production_and_sandbox_are_told_apart_by_device(
    fleet: Fleet, sender: ApnsSender, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    both = shown(fleet)
    for environment in ("production", "sandbox"):
        envelope = envelope_for(apns_tokens(1, environment), sandbox=environment == "sandbox")
        assert [result.verdict for result in sender.send(envelope, both)] == [Verdict.SENT]


def test_two_certificates_never_share_a_connection(
    fleet: Fleet, sender: ApnsSender, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    good, bad = shown(fleet), shown(fleet, topics=["com.example.stranger"])
    tokens = apns_tokens(1)
    for credential, verdict in ((good, Verdict.SENT), (bad, Verdict.SHUT), (good, Verdict.SENT)):
        assert [result.verdict for result in sender.send(envelope_for(tokens), credential)] == [verdict]


@pytest.mark.parametrize(
    "ios",
    [
        {"push_type": "location"},
        {"push_type": "liveactivity", "event": "update", "activity": "a", "content_state": {}},
    ],
)
def test_what_needs_a_signing_key_is_not_sent_by_certificate(
    fleet: Fleet, sender: ApnsSender, apns_tokens: Tokens, envelope_for: EnvelopeFor, ios: dict[str, Any]
) -> None:
    envelope = envelope_for(apns_tokens(1), contents=[Content(title="T", ios=ios)])
    (result,) = sender.send(envelope, shown(fleet))
    assert (result.verdict, result.reason, result.left) == (Verdict.FAILED, "needs_signing_key", False)


def test_a_check_passes_and_a_certificate_for_the_other_environment_does_not(
    fleet: Fleet, sender: ApnsSender
) -> None:
    sender.check(shown(fleet))
    with pytest.raises(CredentialError, match="refuses the certificate for") as caught:
        sender.check(shown(fleet, environment="sandbox"))
    assert caught.value.code == "bad_certificate_environment"


@pytest.mark.parametrize(
    ("secret", "settings", "code"),
    [
        ({"certificate": "x", "private_key": pem(P256)}, {"topic": TOPIC}, "bad_certificate"),
        ({"certificate": certificate(), "private_key": "x"}, {"topic": TOPIC}, "bad_certificate"),
        (
            {"certificate": certificate(days=-1), "private_key": pem(P256)},
            {"topic": TOPIC},
            "certificate_ended",
        ),
        ({"certificate": certificate(), "private_key": pem(P256)}, {}, "bad_topic_setting"),
    ],
)
def test_a_certificate_that_cannot_be_used_shuts_the_gate(
    sender: ApnsSender, envelope_for: EnvelopeFor, secret: dict[str, str], settings: dict[str, str], code: str
) -> None:
    credential = Credential("u", 1, secret, settings)
    with pytest.raises(CredentialError) as caught:
        sender.check(credential)
    assert caught.value.code == code
    assert [result.verdict for result in sender.send(envelope_for(["ab" * 32]), credential)] == [Verdict.SHUT]


def test_the_private_key_stands_in_no_file_afterwards(
    fleet: Fleet, sender: ApnsSender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sender.check(shown(fleet))
    assert os.listdir(tmp_path) == []
