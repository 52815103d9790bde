import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import msgspec
import pytest

from delivery.content import Content
from delivery.senders.contract import Credential, CredentialError, Envelope, Result, UnreachableError, Verdict
from delivery.senders.fcm.sender import FcmSender, _to_many
from delivery.senders.registry import sender_for
from delivery.senders.tokens import MemoryTokenStore, SharedTokens
from fleet.client import Fleet
from tests.delivery.senders.rude import Rude, polite

Tokens = Callable[[int], list[str]]
EnvelopeFor = Callable[..., Envelope]


@pytest.fixture
def sender() -> FcmSender:
    return FcmSender(SharedTokens(MemoryTokenStore()))


def tally(results: list[Result]) -> dict[tuple[str, str], int]:
    return dict(Counter((result.verdict.name, result.reason) for result in results))


def test_every_message_arrives_once(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(fcm_tokens(700))
    results = list(sender.send(envelope, fcm_credential))
    assert sorted(result.index for result in results) == list(range(700))
    assert tally(results) == {("SENT", ""): 700}
    assert all(result.provider_id.startswith("0:") for result in results)
    arrived = fleet.arrived(run=envelope.run, provider="fcm")["fcm"]
    assert (arrived["accepted"], arrived["distinct_messages"], arrived["devices"]) == (700, 700, 700)


def test_everything_a_content_can_say_is_taken_by_fcm(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
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
        android={"channel_id": "news", "click_action": "OPEN", "direct_boot_ok": True},
        ios={"thread_id": "t"},
    )
    tokens = fcm_tokens(1)
    envelope = envelope_for(
        tokens, contents=[content], expires_at=time.time() + 60, collapse_key="c", tag="score"
    )
    assert tally(list(sender.send(envelope, fcm_credential))) == {("SENT", ""): 1}
    (notice,) = fleet.screen(tokens[0])["notices"]
    assert (notice["screen"]["title"], notice["screen"]["body"]) == (content.title, content.body)


def test_a_message_with_an_end_of_its_own_has_its_own_time_to_live(
    sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor, fleet: Fleet
) -> None:
    envelope = envelope_for(fcm_tokens(3), expires_at=time.time() + 3600)
    first, second, third = envelope.messages
    soon = msgspec.structs.replace(second, expires_at=time.time() + 60)
    whole = msgspec.structs.replace(envelope, messages=[first, soon, third])
    assert tally(list(sender.send(whole, fcm_credential))) == {("SENT", ""): 3}


def test_a_repeat_replaces_the_notice_on_the_screen(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    tokens = fcm_tokens(1)
    envelope = envelope_for(tokens)
    for _ in range(2):
        list(sender.send(envelope, fcm_credential))
    screen = fleet.screen(tokens[0])
    assert screen["accepted"] == 2 and len(screen["notices"]) == 1


def test_unknown_tokens_are_dead_and_the_others_are_sent(
    sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    good, gone = fcm_tokens(2)
    envelope = envelope_for([good, gone[:-1] + ("A" if gone[-1] != "A" else "B"), "nonsense"])
    verdicts = {result.index: result.verdict for result in sender.send(envelope, fcm_credential)}
    assert verdicts == {0: Verdict.SENT, 1: Verdict.DEAD, 2: Verdict.DEAD}


def test_a_dead_device_is_dead(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    tokens = fcm_tokens(2)
    fleet.set_faults("fcm", dead_tokens=tokens[:1])
    results = list(sender.send(envelope_for(tokens), fcm_credential))
    assert tally(results) == {("DEAD", "unregistered"): 1, ("SENT", ""): 1}


def test_a_content_that_fcm_refuses_names_the_field(
    sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(fcm_tokens(1), contents=[Content(title="T", data={"google.x": "v"})])
    (result,) = sender.send(envelope, fcm_credential)
    assert result.verdict is Verdict.FAILED and result.reason.startswith("invalid_argument:message.data")


def test_a_content_that_is_not_json_fails_its_own_messages_only(
    sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(
        fcm_tokens(2), contents=[Content(title="T", android={"channel_id": object()}), Content(title="T")]
    )
    messages = [msgspec.structs.replace(message, content=n) for n, message in enumerate(envelope.messages)]
    results = sender.send(msgspec.structs.replace(envelope, messages=messages), fcm_credential)
    assert {result.index: result.verdict for result in results} == {0: Verdict.FAILED, 1: Verdict.SENT}


def test_an_expired_access_token_is_renewed_once_and_everything_arrives_once(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    list(sender.send(envelope_for(fcm_tokens(1)), fcm_credential))
    made = fleet.answers()["oauth_tokens"]
    fleet.set_faults("fcm", expire_tokens=True)
    envelope = envelope_for(fcm_tokens(300))
    assert tally(list(sender.send(envelope, fcm_credential))) == {("SENT", ""): 300}
    assert fleet.arrived(run=envelope.run)["fcm"]["accepted"] == 300
    assert fleet.answers()["oauth_tokens"] == made + 1


def test_senders_of_two_processes_share_one_access_token(
    fleet: Fleet, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    store = MemoryTokenStore()
    before = fleet.answers()["oauth_tokens"]
    for _ in range(2):
        (result,) = sender_for("fcm", tokens=store).send(envelope_for(fcm_tokens(1)), fcm_credential)
        assert result.verdict is Verdict.SENT
    assert fleet.answers()["oauth_tokens"] == before + 1


def test_threads_send_side_by_side(
    fleet: Fleet,
    sender: FcmSender,
    fcm_credential: Credential,
    fcm_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    envelopes = [envelope_for(fcm_tokens(100)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(lambda envelope: list(sender.send(envelope, fcm_credential)), envelopes):
            assert tally(results) == {("SENT", ""): 100}
    assert [fleet.arrived(run=envelope.run)["fcm"]["accepted"] for envelope in envelopes] == [100] * 4


def test_refused_credentials_shut_the_gate_and_spare_the_provider(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    tokens = fcm_tokens(2000)
    account = {**fcm_credential.secret["service_account"], "project_id": "somebody-elses"}
    strange = msgspec.structs.replace(fcm_credential, secret={"service_account": account})
    before = fleet.answers()["fcm"].get("PERMISSION_DENIED", 0)
    results = list(sender.send(envelope_for(tokens), strange))
    assert sorted(result.index for result in results) == list(range(2000))
    assert tally(results) == {("SHUT", "permission_denied"): 2000}
    assert fleet.answers()["fcm"]["PERMISSION_DENIED"] - before < 1000


def test_what_firebase_may_not_hand_on_fails_by_itself(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    fleet.set_faults("fcm", answer={"reason": "THIRD_PARTY_AUTH_ERROR", "count": 3})
    results = list(sender.send(envelope_for(fcm_tokens(10)), fcm_credential))
    assert tally(results) == {("FAILED", "third_party_auth_error"): 3, ("SENT", ""): 7}


def test_an_account_that_google_refuses_shuts_the_gate(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    fleet.set_faults("fcm", refuse_credentials=True)
    results = list(sender.send(envelope_for(fcm_tokens(3)), fcm_credential))
    assert len(results) == 3
    assert all(r.verdict is Verdict.SHUT and r.reason.startswith("oauth:") for r in results)


def test_the_quota_slows_the_gate_and_keeps_the_messages(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    fleet.set_faults("fcm", quota_429={"count": 1000, "retry_after": 17})
    results = list(sender.send(envelope_for(fcm_tokens(100)), fcm_credential))
    assert tally(results) == {("SLOW", "quota_exceeded"): 100}
    assert {result.retry_after for result in results} == {17.0}


def test_a_provider_in_trouble_is_tried_again_when_it_says(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    fleet.set_faults("fcm", status_5xx={"status": 503, "count": 5, "retry_after": 11})
    results = list(sender.send(envelope_for(fcm_tokens(20)), fcm_credential))
    assert tally(results) == {("RETRY", "unavailable"): 5, ("SENT", ""): 15}
    assert {r.retry_after for r in results if r.verdict is Verdict.RETRY} == {11.0}


def test_an_answer_that_is_lost_is_unknown_at_the_deadline(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    list(sender.send(envelope_for(fcm_tokens(1)), fcm_credential))
    fleet.set_faults("fcm", lost_answers=1)
    envelope = envelope_for(fcm_tokens(10))
    results = list(sender.send(envelope, fcm_credential, deadline=time.monotonic() + 1))
    assert tally(results) == {("RETRY", "died_in_flight"): 1, ("SENT", ""): 9}
    assert [result.unknown for result in results if result.verdict is Verdict.RETRY] == [True]


def test_after_the_deadline_nothing_is_started(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(fcm_tokens(3))
    results = list(sender.send(envelope, fcm_credential, deadline=time.monotonic() - 1))
    assert tally(results) == {("RETRY", "not_started"): 3}
    assert fleet.arrived(run=envelope.run)["fcm"]["accepted"] == 0


def test_an_unreachable_provider_is_tried_again_and_no_repeat(
    sender: FcmSender, fcm_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    nowhere = msgspec.structs.replace(fcm_credential, base_url="https://127.0.0.1:1")
    results = list(sender.send(envelope_for(["a"] * 500), nowhere))
    assert tally(results) == {("RETRY", "unreachable"): 500}
    assert not any(result.unknown for result in results)


def test_an_unreachable_token_endpoint_shuts_nothing(
    sender: FcmSender, fcm_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    nowhere = msgspec.structs.replace(fcm_credential, token_url="https://127.0.0.1:1/token")
    assert tally(list(sender.send(envelope_for(["a"] * 3), nowhere))) == {("RETRY", "oauth_unreachable"): 3}


def test_a_proxys_page_is_an_unknown_answer(
    rude: Rude, sender: FcmSender, fcm_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        polite(handler, 502, b"<html>Bad gateway</html>")

    rude.answers["v1"] = page
    rude.answers["token"] = lambda handler: polite(handler, 200, b'{"access_token":"t","expires_in":3600}')
    through = msgspec.structs.replace(
        fcm_credential, base_url=rude.url, token_url=f"{rude.url}/token", ca_file=rude.ca_file
    )
    results = list(sender.send(envelope_for(["a", "b"]), through))
    assert tally(results) == {("RETRY", "unknown_answer"): 2} and all(result.unknown for result in results)


def test_a_malformed_credential_shuts_the_gate(
    sender: FcmSender, fcm_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    empty = msgspec.structs.replace(fcm_credential, secret={})
    assert tally(list(sender.send(envelope_for(["a"]), empty))) == {("SHUT", "bad_service_account"): 1}


def test_a_good_credential_passes_the_check_and_nothing_is_delivered(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential
) -> None:
    before = fleet.arrived()["total"]["accepted"]
    sender.check(fcm_credential)
    assert fleet.arrived()["total"]["accepted"] == before


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ({}, "holds no service account"),
        ({"service_account": {"project_id": "p"}}, "cannot be read"),
        ({"service_account": {"project_id": "a/../b"}}, "project_id"),
    ],
)
def test_a_malformed_credential_is_refused_with_a_sentence(
    sender: FcmSender, fcm_credential: Credential, secret: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CredentialError, match=sentence):
        sender.check(msgspec.structs.replace(fcm_credential, secret=secret))


def test_an_account_that_google_refuses_fails_the_check(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential
) -> None:
    fleet.set_faults("fcm", refuse_credentials=True)
    with pytest.raises(CredentialError, match="Google refuses the service account"):
        sender.check(fcm_credential)


def test_a_provider_that_cannot_be_reached_says_nothing_against_the_credential(
    sender: FcmSender, fcm_credential: Credential
) -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        sender.check(msgspec.structs.replace(fcm_credential, base_url="https://127.0.0.1:1"))


def test_once_told_to_stop_nothing_is_started_and_what_is_under_way_is_waited_for(
    fleet: Fleet, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    sender = FcmSender(SharedTokens(MemoryTokenStore()), streams=5)
    fleet.set_faults("fcm", latency_ms=100)
    envelope = envelope_for(fcm_tokens(100))
    allowed = iter(range(20))
    results = list(sender.send(envelope, fcm_credential, go_on=lambda: next(allowed, None) is not None))
    counts = tally(results)
    assert sorted(result.index for result in results) == list(range(100))
    assert counts == {("SENT", ""): 20, ("RETRY", "not_started"): 80}
    assert fleet.arrived(run=envelope.run)["fcm"]["accepted"] == counts[("SENT", "")]


@pytest.mark.parametrize("platform", ["android", "ios", "web", "tv"])
def test_every_platforms_message_is_taken_by_fcm(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor,
    platform: str,
) -> None:  # fmt: skip
    light = {"color": {"red": 1.0}, "light_on_duration": "1s", "light_off_duration": "1s"}
    content = Content(
        title="Title",
        subtitle="Subtitle",
        body="Body",
        link="https://x.test/",
        sound="ping",
        badge=1,
        android={"channel_id": "news", "light_settings": light},
        ios={"interruption_level": "passive", "fcm_options": {"image": "https://x.test/i.png"}},
        web={"icon": "/i.png", "require_interaction": True},
    )
    envelope = envelope_for(fcm_tokens(2), contents=[content], expires_at=time.time() + 60)
    messages = [msgspec.structs.replace(one, platform=platform) for one in envelope.messages]
    envelope = msgspec.structs.replace(envelope, messages=messages)
    assert tally(list(sender.send(envelope, fcm_credential))) == {("SENT", ""): 2}


def test_a_long_text_is_cut_to_what_fcm_takes_and_it_is_said(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    tokens = fcm_tokens(1)
    envelope = envelope_for(tokens, contents=[Content(title="T", body="é" * 3000)])
    (result,) = sender.send(envelope, fcm_credential)
    assert (result.verdict, result.reason, bool(result.provider_id)) == (Verdict.SENT, "shortened", True)
    body = fleet.screen(tokens[0])["notices"][0]["screen"]["body"]
    assert body.endswith("é…") and 3_800 < len(body.encode()) < 4_096


def test_data_that_is_too_large_for_fcm_is_refused_and_never_sent(
    sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(fcm_tokens(1), contents=[Content(title="T", data={"k": "v" * 4_096})])
    (result,) = sender.send(envelope, fcm_credential)
    assert (result.verdict, result.reason, result.left) == (Verdict.FAILED, "payload_too_large:4096", False)


def test_a_topic_and_a_condition_are_told_with_the_blocks_of_every_platform(
    fleet: Fleet, sender: FcmSender, fcm_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    content = Content(title="T", body="B", link="https://x.test/", android={"channel_id": "news"})
    condition = "'sport' in topics && !('berlin' in topics || 'hamburg' in topics)"
    envelope = envelope_for(
        ["topic:weather.berlin", f"condition:{condition}"], contents=[content], expires_at=time.time() + 60
    )
    results = list(sender.send(envelope, fcm_credential))
    assert tally(results) == {("SENT", ""): 2}
    assert all(result.provider_id for result in results)
    assert fleet.arrived(run=envelope.run)["fcm"]["accepted"] == 0, "a topic is no device"
    for message, field, value in zip(
        envelope.messages, ("topic", "condition"), ("weather.berlin", condition), strict=True
    ):
        payload, cut = _to_many(message, envelope)
        said = json.loads(payload)["message"]
        assert (said[field], cut, "token" in said) == (value, False, False)
        assert said["android"]["notification"] == {"tag": message.notification, "channel_id": "news"}
        assert said["apns"]["headers"]["apns-collapse-id"] == message.notification
        assert said["webpush"]["fcm_options"] == {"link": "https://x.test/"}
        assert said["android"]["ttl"].endswith("s") and said["webpush"]["headers"]["TTL"].isdigit()


def test_a_topic_takes_half_of_what_a_device_does(
    sender: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    long = Content(title="T", body="long " * 500)
    tokens = ["topic:news", *fcm_tokens(1)]
    results = sorted(
        sender.send(envelope_for(tokens, contents=[long]), fcm_credential), key=lambda one: one.index
    )
    assert [(result.verdict, result.reason) for result in results] == [
        (Verdict.SENT, "shortened"),
        (Verdict.SENT, ""),
    ]
    large = Content(title="T", data={"k": "v" * 3_000})
    results = sorted(
        sender.send(envelope_for(tokens, contents=[large]), fcm_credential), key=lambda one: one.index
    )
    assert [result.reason for result in results] == ["payload_too_large:2048", ""]


def test_a_topic_that_fcm_does_not_know_as_one_fails_with_the_field(
    sender: FcmSender, fcm_credential: Credential, envelope_for: EnvelopeFor
) -> None:
    results = list(sender.send(envelope_for(["topic:no topic"]), fcm_credential))
    assert tally(results) == {("FAILED", "invalid_argument:message.topic"): 1}
