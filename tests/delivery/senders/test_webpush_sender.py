import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from delivery.content import Content
from delivery.senders.contract import (
    NOT_STARTED,
    Credential,
    CredentialError,
    Envelope,
    Result,
    UnreachableError,
    Verdict,
)
from delivery.senders.registry import sender_for
from delivery.senders.tokens import MemoryTokenStore, SharedTokens
from delivery.senders.webpush.key import Signer
from delivery.senders.webpush.sender import WebPushSender
from devices.push_subscriptions import Subscription
from fleet.client import Fleet
from tests.delivery.senders.rude import Rude, polite
from tests.delivery.senders.webpush_world import credential, new_pem, signer, subscriptions

EnvelopeFor = Callable[..., Envelope]
MOZILLA = "updates.push.services.mozilla.com"


@pytest.fixture
def sender() -> WebPushSender:
    return WebPushSender(SharedTokens(MemoryTokenStore()))


@pytest.fixture
def shown(fleet: Fleet) -> Credential:
    return credential(fleet)


@pytest.fixture
def browsers(fleet: Fleet, shown: Credential) -> Callable[[int], list[str]]:
    return lambda count: [one.token for one in subscriptions(fleet, count, signer(shown))]


def tally(results: list[Result]) -> dict[tuple[str, str], int]:
    return dict(Counter((result.verdict.name, result.reason) for result in results))


def resolve(monkeypatch: pytest.MonkeyPatch, look_up: Callable[[], Any]) -> None:
    """Let the name of Mozilla's push service resolve to what `look_up` says, and every other as it does."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **how: look_up() if host == MOZILLA else real(host, *more, **how),
    )


def endpoint(token: str) -> str:
    address: str = json.loads(token)[0]
    return address


def test_every_browser_reads_its_message_once(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    envelope = envelope_for(browsers(60))
    results = list(sender.send(envelope, shown))
    assert sorted(result.index for result in results) == list(range(60))
    assert tally(results) == {("SENT", ""): 60}
    arrived = fleet.arrived(run=envelope.run, provider="webpush")["webpush"]
    assert (arrived["accepted"], arrived["distinct_messages"], arrived["devices"]) == (60, 60, 60)


def test_a_browser_decrypts_what_the_content_says(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    content = Content(
        title='Ä "quoted" title',
        body="Line one\nline two \U0001f389",
        image="https://x.test/i.png",
        link="https://x.test/",
        data={"k": "v"},
        web={"icon": "https://x.test/icon.png", "require_interaction": True, "urgency": "very-low"},
    )
    tokens = browsers(1)
    envelope = envelope_for(tokens, contents=[content], expires_at=time.time() + 60)
    assert tally(list(sender.send(envelope, shown))) == {("SENT", ""): 1}
    (letter,) = fleet.messages(endpoint(tokens[0]))
    notification = envelope.messages[0].notification
    assert json.loads(letter["payload"]) == {
        "nh": {"id": notification, "run": envelope.run},
        "title": content.title,
        "body": content.body,
        "image": content.image,
        "link": content.link,
        "tag": notification,
        "data": {"k": "v"},
        "options": {"icon": "https://x.test/icon.png", "requireInteraction": True},
    }
    assert letter["asked"]["ttl"] in (59, 60)
    assert letter["asked"]["urgency"] == "very-low"
    assert letter["asked"]["topic"] == notification.replace("-", "")


@pytest.mark.parametrize(
    ("lane", "urgency"), [("critical", "high"), ("high", "high"), ("normal", "normal"), ("bulk", "low")]
)
def test_the_lane_says_how_urgent_it_is(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor,
    lane: str, urgency: str,
) -> None:  # fmt: skip
    tokens = browsers(1)
    list(sender.send(envelope_for(tokens, lane=lane), shown))
    asked = fleet.messages(endpoint(tokens[0]))[0]["asked"]
    assert (asked["urgency"], asked["ttl"]) == (urgency, 2_419_200)


def test_a_repeat_takes_the_place_of_what_it_repeats(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    tokens = browsers(1)
    envelope = envelope_for(tokens)
    for _ in range(2):
        list(sender.send(envelope, shown))
    screen = fleet.screen(endpoint(tokens[0]))
    assert screen["accepted"] == 2 and len(screen["notices"]) == 1
    topics = {letter["asked"]["topic"] for letter in fleet.messages(endpoint(tokens[0]))}
    assert topics == {envelope.messages[0].notification.replace("-", "")}


def test_the_campaigns_own_tag_is_a_topic_that_every_service_takes(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    tokens = browsers(1)
    list(sender.send(envelope_for(tokens, tag="Spielstand ⚽ 3:2"), shown))
    (letter,) = fleet.messages(endpoint(tokens[0]))
    assert len(letter["asked"]["topic"]) == 32
    assert json.loads(letter["payload"])["tag"] == "Spielstand ⚽ 3:2"


def test_a_message_ends_when_it_says(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    tokens = browsers(1)
    list(sender.send(envelope_for(tokens, expires_at=time.time() - 5), shown))
    assert fleet.messages(endpoint(tokens[0]))[0]["asked"]["ttl"] == 0


def test_one_token_for_each_service_is_made_for_all_messages_and_processes(
    fleet: Fleet, shown: Credential, browsers: Any, envelope_for: EnvelopeFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    minted: list[str] = []
    mint = Signer.mint

    def counted(signer: Signer, origin: str) -> tuple[str, float]:
        minted.append(origin)
        return mint(signer, origin)

    monkeypatch.setattr(Signer, "mint", counted)
    store = MemoryTokenStore()
    for process in (sender_for("webpush", tokens=store), sender_for("webpush", tokens=store)):
        assert tally(list(process.send(envelope_for(browsers(3)), shown))) == {("SENT", ""): 3}
    assert minted == [fleet.webpush_url]


def test_old_subscriptions_are_sent_to_with_the_key_they_were_made_with(
    fleet: Fleet, sender: WebPushSender, envelope_for: EnvelopeFor
) -> None:
    both = credential(fleet, new_pem(), new_pem())
    made = [subscriptions(fleet, 1, signer(both, number))[0] for number in (0, 1)]
    unmarked = subscriptions(fleet, 1, signer(both))[0]
    whose = Subscription(unmarked.endpoint, unmarked.p256dh, unmarked.auth)
    tokens = [*(one.token for one in made), whose.token]
    assert tally(list(sender.send(envelope_for(tokens), both))) == {("SENT", ""): 3}


def test_a_subscription_whose_key_is_gone_is_dead_and_nobody_is_asked(
    fleet: Fleet, sender: WebPushSender, shown: Credential, envelope_for: EnvelopeFor
) -> None:
    other = credential(fleet)
    stranger = subscriptions(fleet, 1, signer(other))[0]
    (result,) = sender.send(envelope_for([stranger.token]), shown)
    assert (result.verdict, result.reason, result.left) == (Verdict.DEAD, "vapid_key_mismatch", False)


def test_a_service_that_knows_another_key_says_so_of_one_subscription_and_the_others_are_sent(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    stranger = subscriptions(fleet, 1, signer(credential(fleet)))[0]
    unmarked = Subscription(stranger.endpoint, stranger.p256dh, stranger.auth)
    results = {
        result.index: result for result in sender.send(envelope_for([unmarked.token, *browsers(2)]), shown)
    }
    assert (results[0].verdict, results[0].reason) == (Verdict.DEAD, "vapid_key_mismatch")
    assert results[1].verdict is results[2].verdict is Verdict.SENT


def test_dead_subscriptions_are_dead(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    gone, here = browsers(2)
    unknown = Subscription(fleet.webpush_url + "/wpush/v2/nobody", *json.loads(here)[1:3])
    fleet.set_faults("webpush", dead_tokens=[endpoint(gone)])
    results = {
        result.index: result for result in sender.send(envelope_for([gone, unknown.token, here]), shown)
    }
    assert (results[0].verdict, results[0].reason) == (Verdict.DEAD, "subscription_expired")
    assert (results[1].verdict, results[1].reason) == (Verdict.DEAD, "subscription_unknown")
    assert results[2].verdict is Verdict.SENT


def test_too_many_requests_are_tried_again_after_the_time_that_is_asked_for(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    fleet.set_faults("webpush", quota_429={"count": 1, "retry_after": 17})
    results = list(sender.send(envelope_for(browsers(3)), shown))
    assert tally(results) == {("RETRY", "rate_limited"): 1, ("SENT", ""): 2}
    assert [result.retry_after for result in results if result.verdict is Verdict.RETRY] == [17.0]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_service_in_trouble_is_tried_again(
    fleet: Fleet,
    sender: WebPushSender,
    shown: Credential,
    browsers: Any,
    envelope_for: EnvelopeFor,
    status: int,
) -> None:
    fleet.set_faults("webpush", status_5xx={"status": status, "count": 1, "retry_after": 9})
    (result,) = sender.send(envelope_for(browsers(1)), shown)
    assert (result.verdict, result.retry_after) == (Verdict.RETRY, 9.0)


def test_refused_credentials_shut_the_gate_and_keep_the_messages(
    fleet: Fleet,
    sender: WebPushSender,
    shown: Credential,
    browsers: Any,
    envelope_for: EnvelopeFor,
    rude: Rude,
) -> None:
    rude.answers["x"] = lambda handler: polite(handler, 403, b'{"reason":"BadJwtToken"}')
    where = credential(fleet)
    where = Credential(where.uid, 1, where.secret, where.settings, ca_file=rude.ca_file)
    tokens = [Subscription(f"{rude.url}/x", *json.loads(one)[1:3]).token for one in browsers(5)]
    results = list(sender.send(envelope_for(tokens), where, streams=1))
    assert tally(results) == {("SHUT", "vapid_refused"): 5}
    assert len(rude.requests) == 1


def test_a_long_text_is_cut_between_letters_and_it_is_said(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    tokens = browsers(1)
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    content = Content(title="T", body=family * 400)
    (result,) = sender.send(envelope_for(tokens, contents=[content]), shown)
    assert (result.verdict, result.reason) == (Verdict.SENT, "shortened")
    payload = fleet.messages(endpoint(tokens[0]))[0]["payload"]
    body = json.loads(payload)["body"]
    assert body == family * ((len(body) - 1) // len(family)) + "…"
    assert 3_900 < len(payload.encode()) <= 3_993


def test_data_that_is_too_large_is_refused_with_its_size_and_never_sent(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    tokens = browsers(1)
    content = Content(title="T", body="B", data={"k": "v" * 4_000})
    (result,) = sender.send(envelope_for(tokens, contents=[content]), shown)
    assert (result.verdict, result.reason, result.left) == (Verdict.FAILED, "payload_too_large:3993", False)
    assert fleet.messages(endpoint(tokens[0])) == []


def test_what_stands_on_no_list_is_never_connected_to(
    fleet: Fleet, sender: WebPushSender, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    strict = credential(fleet, private=[])
    (result,) = sender.send(envelope_for(browsers(1)), strict)
    assert (result.verdict, result.reason, result.left) == (Verdict.FAILED, "endpoint_not_allowed", False)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"],
)
def test_a_name_that_leads_inside_is_never_connected_to(
    fleet: Fleet, sender: WebPushSender, browsers: Any, envelope_for: EnvelopeFor, address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    port = int(fleet.webpush_url.rpartition(":")[2])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    resolve(monkeypatch, lambda: [(family, socket.SOCK_STREAM, 6, "", (address, port))])
    strict = credential(fleet, hosts=[MOZILLA], private=[])
    token = Subscription(f"https://{MOZILLA}/x", *json.loads(browsers(1)[0])[1:3]).token
    (result,) = sender.send(envelope_for([token]), strict)
    assert (result.verdict, result.reason, result.left) == (Verdict.FAILED, "address_not_public", False)


def test_a_host_of_the_operators_own_may_have_a_private_address(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    assert shown.settings["private"] == ["127.0.0.1"]
    assert tally(list(sender.send(envelope_for(browsers(1)), shown))) == {("SENT", ""): 1}


def test_a_service_that_is_down_holds_up_no_other(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    there = browsers(3)
    down = [Subscription("https://127.0.0.1:9/x", *json.loads(token)[1:3]).token for token in browsers(2)]
    envelope = envelope_for([down[0], *there, down[1]])
    results = {result.index: result for result in sender.send(envelope, shown)}
    assert [results[index].verdict for index in (1, 2, 3)] == [Verdict.SENT] * 3
    for index in (0, 4):
        assert (results[index].verdict, results[index].reason) == (Verdict.RETRY, NOT_STARTED)
        assert not results[index].left and results[index].retry_after == 30.0


def test_when_nobody_answers_the_provider_is_unreachable(
    sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    down = [Subscription("https://127.0.0.1:9/x", *json.loads(token)[1:3]).token for token in browsers(2)]
    results = list(sender.send(envelope_for(down), shown))
    assert tally(results) == {("RETRY", "unreachable"): 2}
    assert not any(result.left for result in results)


def test_a_name_that_cannot_be_resolved_is_unreachable(
    fleet: Fleet,
    sender: WebPushSender,
    browsers: Any,
    envelope_for: EnvelopeFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def look_up() -> Any:
        asked.append(MOZILLA)
        raise socket.gaierror(-2, "Name or service not known")

    resolve(monkeypatch, look_up)
    token = Subscription(f"https://{MOZILLA}/x", *json.loads(browsers(1)[0])[1:3]).token
    results = list(sender.send(envelope_for([token] * 3), credential(fleet, hosts=[MOZILLA]), streams=1))
    assert tally(results) == {("RETRY", "unreachable"): 3}
    assert not any(result.left for result in results) and len(asked) == 2, "as an address, then as a name"


def test_a_service_that_cannot_be_reached_is_not_knocked_at_again(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    knocks: list[None] = []

    def listen() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()
                knocks.append(None)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listen, daemon=True).start()
        keys = json.loads(browsers(1)[0])[1:3]
        token = Subscription(f"https://127.0.0.1:{listener.getsockname()[1]}/x", *keys).token
        results = list(sender.send(envelope_for([token] * 5), shown, streams=1))
        listener.shutdown(socket.SHUT_RDWR)
    assert tally(results) == {("RETRY", "unreachable"): 5}
    assert len(knocks) == 1


def test_a_lost_answer_is_unknown(
    fleet: Fleet, sender: WebPushSender, browsers: Any, envelope_for: EnvelopeFor, rude: Rude
) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    rude.answers["x"] = hang_up
    where = credential(fleet)
    where = Credential(where.uid, 1, where.secret, where.settings, ca_file=rude.ca_file)
    token = Subscription(f"{rude.url}/x", *json.loads(browsers(1)[0])[1:3]).token
    (result,) = sender.send(envelope_for([token]), where)
    assert (result.verdict, result.reason, result.unknown) == (Verdict.RETRY, "died_in_flight", True)


def test_nothing_is_started_once_it_is_told_to_stop(
    fleet: Fleet, sender: WebPushSender, shown: Credential, browsers: Any, envelope_for: EnvelopeFor
) -> None:
    asked = iter([True, True] + [False] * 10)
    results = list(sender.send(envelope_for(browsers(5)), shown, go_on=lambda: next(asked)))
    assert tally(results) == {("SENT", ""): 2, ("RETRY", NOT_STARTED): 3}
    late = list(sender.send(envelope_for(browsers(2)), shown, deadline=time.monotonic() - 1))
    assert tally(late) == {("RETRY", NOT_STARTED): 2}
    assert not any(result.left for result in late)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"subject": ""}, "bad_subject"),
        ({"subject": "mailto: <push@example.com>"}, "bad_subject"),
        ({"subject": "mailto:admin@localhost"}, "bad_subject"),
        ({"subject": "push@example.com"}, "bad_subject"),
    ],
)
def test_a_malformed_credential_is_refused_with_what_to_do(
    fleet: Fleet,
    sender: WebPushSender,
    browsers: Any,
    envelope_for: EnvelopeFor,
    changed: dict[str, str],
    code: str,
) -> None:
    wrong = credential(fleet, **changed)
    with pytest.raises(CredentialError) as caught:
        sender.check(wrong)
    assert caught.value.code == code and "mailto:push@example.com" in str(caught.value)
    assert tally(list(sender.send(envelope_for(browsers(2)), wrong))) == {("SHUT", code): 2}


def test_a_key_of_another_kind_is_refused(fleet: Fleet, sender: WebPushSender) -> None:
    with pytest.raises(CredentialError) as caught:
        sender.check(credential(fleet, "no key"))
    assert caught.value.code == "bad_private_key"


def test_a_check_reaches_no_browser(fleet: Fleet, sender: WebPushSender, shown: Credential) -> None:
    before = fleet.answers()["webpush"]
    sender.check(shown)
    after = Counter(fleet.answers()["webpush"])
    after.subtract(before)
    assert {name: count for name, count in after.items() if count} == {"NotFound": 1}


def test_a_check_that_nobody_answers_says_nothing_of_the_credential(
    sender: WebPushSender, fleet: Fleet
) -> None:
    with pytest.raises(UnreachableError):
        sender.check(
            Credential("u", 1, {"keys": [new_pem()]}, credential(fleet).settings, "https://127.0.0.1:9")
        )


def test_a_token_that_is_no_subscription_is_dead(
    sender: WebPushSender, shown: Credential, envelope_for: EnvelopeFor
) -> None:
    (result,) = sender.send(envelope_for(["abc"]), shown)
    assert (result.verdict, result.reason) == (Verdict.DEAD, "bad_subscription")
