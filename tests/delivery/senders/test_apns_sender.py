import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from delivery.content import Content
from delivery.senders.apns.key import Key
from delivery.senders.apns.sender import ApnsSender, _Headings
from delivery.senders.contract import Credential, CredentialError, Envelope, Result, UnreachableError, Verdict
from delivery.senders.registry import sender_for
from delivery.senders.tokens import MemoryTokenStore, SharedTokens
from fleet.client import Fleet

Tokens = Callable[..., list[str]]
EnvelopeFor = Callable[..., Envelope]


@pytest.fixture
def sender() -> ApnsSender:
    return ApnsSender(SharedTokens(MemoryTokenStore()))


def tally(results: list[Result]) -> dict[tuple[str, str], int]:
    return dict(Counter((result.verdict.name, result.reason) for result in results))


def test_every_message_arrives_once(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    envelope = envelope_for(apns_tokens(700), expires_at=time.time() + 60)
    results = list(sender.send(envelope, apns_credential))
    assert sorted(result.index for result in results) == list(range(700))
    assert tally(results) == {("SENT", ""): 700}
    assert len({result.provider_id for result in results}) == 700
    arrived = fleet.arrived(run=envelope.run, provider="apns")["apns"]
    assert (arrived["accepted"], arrived["distinct_messages"], arrived["devices"]) == (700, 700, 700)


def test_a_message_with_an_end_of_its_own_expires_then(
    sender: ApnsSender, apns_credential: Credential, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(apns_tokens(2), expires_at=time.time() + 3600)
    first, second = envelope.messages
    soon = msgspec.structs.replace(second, expires_at=1_900_000_000.9)
    headings = _Headings(envelope, Key(apns_credential))
    shared, own = headings.of(first, "t"), headings.of(soon, "t")
    assert "apns-expiration: 1900000000" in own[0] and shared[0] != own[0]
    assert headings.of(first, "t")[0] is shared[0]
    whole = msgspec.structs.replace(envelope, messages=[first, soon])
    assert tally(list(sender.send(whole, apns_credential))) == {("SENT", ""): 2}


def test_everything_a_content_can_say_is_taken_by_apns(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    content = Content(
        title='Ä "quoted" title',
        body="Line one\nline two \U0001f389",
        subtitle="Subtitle",
        image="https://x.test/i.png",
        link="https://x.test/",
        data={"k": "v"},
        sound="ping",
        badge=3,
        android={"channel_id": "news"},
        ios={
            "thread_id": "t",
            "interruption_level": "time-sensitive",
            "category": "C",
            "relevance_score": 0.5,
        },
    )
    tokens = apns_tokens(1)
    envelope = envelope_for(
        tokens, contents=[content], lane="bulk", tag="a tag longer than sixty-four bytes " * 3
    )
    assert tally(list(sender.send(envelope, apns_credential))) == {("SENT", ""): 1}
    (notice,) = fleet.screen(tokens[0])["notices"]
    assert (notice["screen"]["title"], notice["screen"]["body"]) == (content.title, content.body)


def test_a_repeat_has_the_same_id_and_replaces_the_notice_on_the_screen(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    tokens = apns_tokens(1)
    envelope = envelope_for(tokens)
    (first,) = sender.send(envelope, apns_credential)
    (again,) = sender.send(envelope, apns_credential)
    assert first.provider_id == again.provider_id
    screen = fleet.screen(tokens[0])
    assert screen["accepted"] == 2 and len(screen["notices"]) == 1


def test_each_environment_gets_its_own_devices(
    sender: ApnsSender, apns_credential: Credential, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    developers = apns_tokens(2, environment="sandbox")
    right = list(sender.send(envelope_for(developers, sandbox=True), apns_credential))
    wrong = list(sender.send(envelope_for(developers), apns_credential))
    assert tally(right) == {("SENT", ""): 2}
    assert tally(wrong) == {("DEAD", "bad_device_token"): 2}


def test_a_device_that_is_gone_says_since_when(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    tokens = apns_tokens(2)
    fleet.set_faults("apns", dead_tokens=tokens[:1])
    results = {result.index: result for result in sender.send(envelope_for(tokens), apns_credential)}
    assert (results[0].verdict, results[0].reason) == (Verdict.DEAD, "unregistered")
    assert results[0].dead_since is not None and abs(results[0].dead_since - time.time()) < 60
    assert results[1].verdict is Verdict.SENT


@pytest.mark.parametrize("token", ["", "xyz", "../../3/device/00", "00\r\napns-topic: x", "0" * 63])
def test_what_is_no_token_is_dead_without_a_request(
    token: str, fleet: Fleet, sender: ApnsSender, apns_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    before = fleet.answers()["apns"]
    results = list(sender.send(envelope_for([token]), apns_credential))
    assert tally(results) == {("DEAD", "bad_device_token"): 1}
    assert fleet.answers()["apns"] == before


def test_data_under_apples_key_fails_its_own_messages_only(
    sender: ApnsSender, apns_credential: Credential, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(
        apns_tokens(2), contents=[Content(title="T", data={"aps": "x"}), Content(title="T")]
    )
    messages = [msgspec.structs.replace(message, content=n) for n, message in enumerate(envelope.messages)]
    results = sender.send(msgspec.structs.replace(envelope, messages=messages), apns_credential)
    assert {result.index: (result.verdict, result.reason) for result in results} == {
        0: (Verdict.FAILED, "reserved_data_key:aps"),
        1: (Verdict.SENT, ""),
    }


def test_an_expired_provider_token_is_renewed_once_and_everything_arrives_once(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    fleet.set_faults("apns", answer={"reason": "ExpiredProviderToken", "count": 3})
    envelope = envelope_for(apns_tokens(300))
    assert tally(list(sender.send(envelope, apns_credential))) == {("SENT", ""): 300}
    assert fleet.arrived(run=envelope.run)["apns"]["accepted"] == 300


def test_a_provider_token_that_stays_expired_shuts_the_gate(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    fleet.set_faults("apns", answer={"reason": "ExpiredProviderToken", "count": 1000})
    results = list(sender.send(envelope_for(apns_tokens(100)), apns_credential))
    assert tally(results) == {("SHUT", "expired_provider_token"): 100}


def test_processes_share_one_provider_token(
    fleet: Fleet, apns_credential: Credential, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    fleet.set_faults("apns", limit_token_updates=True)
    store = MemoryTokenStore()
    for _ in range(3):
        (result,) = sender_for("apns", tokens=store).send(envelope_for(apns_tokens(1)), apns_credential)
        assert result.verdict is Verdict.SENT


def test_applications_with_one_key_share_its_provider_token(apns_credential: Credential) -> None:
    from delivery.senders.apns.key import Key

    other = msgspec.structs.replace(
        apns_credential, uid="other", application=2, settings={"topic": "com.example.two"}
    )
    assert Key(apns_credential).identity == Key(other).identity


def test_refused_credentials_shut_the_gate_and_spare_the_provider(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    tokens = apns_tokens(2000)
    fleet.set_faults("apns", refuse_credentials=True)
    before = fleet.answers()["apns"].get("InvalidProviderToken", 0)
    results = list(sender.send(envelope_for(tokens), apns_credential))
    assert sorted(result.index for result in results) == list(range(2000))
    assert tally(results) == {("SHUT", "invalid_provider_token"): 2000}
    assert fleet.answers()["apns"]["InvalidProviderToken"] - before < 1000


def test_a_topic_that_is_not_the_keys_shuts_the_gate(
    sender: ApnsSender, apns_credential: Credential, apns_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    foreign = msgspec.structs.replace(apns_credential, settings={"topic": "com.example.other"})
    (result,) = sender.send(envelope_for(apns_tokens(1)), foreign)
    assert result.verdict is Verdict.SHUT and result.reason in ("topic_disallowed", "bad_topic")


def test_one_device_that_gets_too_much_holds_up_nobody(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    fleet.set_faults("apns", answer={"reason": "TooManyRequests", "count": 1})
    results = list(sender.send(envelope_for(apns_tokens(20)), apns_credential))
    assert tally(results) == {("RETRY", "too_many_requests"): 1, ("SENT", ""): 19}


def test_a_provider_in_trouble_is_tried_again_when_it_says(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    fleet.set_faults("apns", status_5xx={"status": 503, "count": 5, "retry_after": 11})
    results = list(sender.send(envelope_for(apns_tokens(20)), apns_credential))
    assert Counter(result.verdict for result in results) == {Verdict.RETRY: 5, Verdict.SENT: 15}
    assert {r.retry_after for r in results if r.verdict is Verdict.RETRY} == {11.0}


def test_an_answer_that_is_lost_is_unknown_at_the_deadline(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    fleet.set_faults("apns", lost_answers=1)
    results = list(sender.send(envelope_for(apns_tokens(10)), apns_credential, deadline=time.monotonic() + 1))
    assert tally(results) == {("RETRY", "died_in_flight"): 1, ("SENT", ""): 9}


def test_an_unreachable_provider_is_tried_again_and_no_repeat(
    sender: ApnsSender, apns_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    nowhere = msgspec.structs.replace(apns_credential, base_url="https://127.0.0.1:1")
    results = list(sender.send(envelope_for(["00" * 32] * 500), nowhere))
    assert tally(results) == {("RETRY", "unreachable"): 500}
    assert not any(result.unknown for result in results)


def test_a_good_credential_passes_the_check_and_nothing_is_delivered(
    fleet: Fleet, sender: ApnsSender, apns_credential: Credential
) -> None:
    before = fleet.arrived()["total"]["accepted"]
    sender.check(apns_credential)
    assert fleet.arrived()["total"]["accepted"] == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"settings": {}}, "need a topic"),
        ({"settings": {"topic": "a\r\nb"}}, "need a topic"),
        ({"secret": {}}, "key_id"),
        ({"secret": {"key_id": "ABCDEFGHIJ"}}, "team_id"),
        (
            {"secret": {"key_id": "ABCDEFGHIJ", "team_id": "ABCDEFGHIJ", "private_key": "no key"}},
            "private key",
        ),
        ({"secret": {"key_id": "ABCDEFGHIJ", "team_id": "ABCDEFGHIJ"}}, "private key"),
    ],
)
def test_a_malformed_credential_is_refused_with_a_sentence_and_shuts_the_gate(
    sender: ApnsSender,
    apns_credential: Credential,
    envelope_for: EnvelopeFor,
    change: dict[str, Any],
    sentence: str,
) -> None:
    malformed = msgspec.structs.replace(apns_credential, **change)
    with pytest.raises(CredentialError, match=sentence):
        sender.check(malformed)
    assert [result.verdict for result in sender.send(envelope_for(["00" * 32]), malformed)] == [Verdict.SHUT]


def test_a_key_that_apple_refuses_fails_the_check(
    fleet: Fleet, sender: ApnsSender, apns_credential: Credential
) -> None:
    fleet.set_faults("apns", refuse_credentials=True)
    with pytest.raises(CredentialError, match="APNs refuses key"):
        sender.check(apns_credential)


def test_a_provider_that_cannot_be_reached_says_nothing_against_the_credential(
    sender: ApnsSender, apns_credential: Credential
) -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        sender.check(msgspec.structs.replace(apns_credential, base_url="https://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("ios", "visible"),
    [
        ({"push_type": "alert", "interruption_level": "time-sensitive", "relevance_score": 0.5}, True),
        ({"push_type": "background"}, False),
        ({"push_type": "voip"}, False),
        ({"push_type": "complication"}, False),
        ({"push_type": "fileprovider"}, False),
        ({"push_type": "mdm", "mdm": "magic"}, False),
        ({"push_type": "location"}, False),
        ({"push_type": "pushtotalk"}, False),
        ({"push_type": "controls"}, False),
        ({"push_type": "widgets"}, False),
        (
            {"push_type": "liveactivity", "event": "update", "activity": "a", "content_state": {"score": 3}},
            False,
        ),
        (
            {
                "push_type": "liveactivity",
                "event": "start",
                "attributes_type": "Match",
                "attributes": {"home": "A"},
                "content_state": {"score": 3},
            },
            False,
        ),
    ],
)
@pytest.mark.parametrize("lane", ["high", "bulk"])
def test_every_push_type_is_taken_by_apns(
    fleet: Fleet, sender: ApnsSender, apns_credential: Credential, apns_tokens: Tokens, envelope_for: EnvelopeFor,
    ios: dict[str, Any], visible: bool, lane: str,
) -> None:  # fmt: skip
    tokens = apns_tokens(1)
    content = Content(title="Title", body="Body", sound="ping", badge=2, ios=ios)
    envelope = envelope_for(tokens, contents=[content], lane=lane, expires_at=time.time() + 60)
    assert tally(list(sender.send(envelope, apns_credential))) == {("SENT", ""): 1}
    (notice,) = fleet.screen(tokens[0])["notices"] or [{"screen": None}]
    assert (notice["screen"] is not None) == visible


def test_a_long_text_is_cut_to_what_apns_takes_and_it_is_said(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    tokens = apns_tokens(3)
    contents = [Content(title="T", body=letter * 3000) for letter in ("é", "e")]
    envelope = envelope_for(
        tokens, contents=[*contents, Content(title="T", body="é" * 3000, ios={"push_type": "voip"})]
    )
    messages = [msgspec.structs.replace(one, content=at) for at, one in enumerate(envelope.messages)]
    sent = sender.send(msgspec.structs.replace(envelope, messages=messages), apns_credential)
    results = sorted(sent, key=lambda result: result.index)
    assert [(result.verdict, result.reason) for result in results] == [
        (Verdict.SENT, "shortened"), (Verdict.SENT, ""), (Verdict.SENT, "shortened"),
    ]  # fmt: skip
    assert all(result.provider_id for result in results)
    alert = fleet.screen(tokens[0])["notices"][0]["screen"]["body"]
    assert alert.endswith("é…") and 3_900 < len(alert.encode()) <= 4_096


def test_data_that_is_too_large_is_refused_and_never_sent(
    fleet: Fleet,
    sender: ApnsSender,
    apns_credential: Credential,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    content = Content(title="T", body="B", data={"k": "v" * 4_096})
    envelope = envelope_for(apns_tokens(1), contents=[content])
    (result,) = sender.send(envelope, apns_credential)
    assert (result.verdict, result.reason, result.left) == (Verdict.FAILED, "payload_too_large:4096", False)
