"""A push service refuses what RFC 8030, 8291 and 8292 say, and its browsers read what was encrypted for them."""

from __future__ import annotations

import time

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fleet.faults import Failure, Quota, Refusal
from fleet.http import Reply
from fleet.points import base64url, point_of


def refusal(reply: Reply) -> tuple[int, int]:
    answer = msgspec.json.decode(reply.body)
    assert answer["code"] == reply.status
    return reply.status, answer["errno"]


def why(reply: Reply) -> str:
    return str(msgspec.json.decode(reply.body)["message"])


def test_a_message_is_created_at_a_location_and_keeps_its_time_to_live(webpush):
    reply = webpush.send()
    headers = dict(reply.headers)
    assert (reply.status, reply.body, headers["ttl"]) == (201, b"", "60")
    assert headers["location"].startswith("https://push.test/m/")
    assert dict(webpush.send().headers)["location"] != headers["location"]


def test_the_browser_reads_what_was_encrypted_for_it(webpush):
    webpush.send({"title": "Hello", "körper": "ü" * 900}, urgency="high", topic="score_1-2")
    device = webpush.server.world.devices.find(webpush.subscriptions[0].endpoint)
    (letter,) = webpush.server.world.letters.of(device)
    assert msgspec.json.decode(letter.content) == {"title": "Hello", "körper": "ü" * 900}
    assert letter.asked == {"ttl": 60, "urgency": "high", "topic": "score_1-2"}


@pytest.mark.parametrize(
    "payload",
    [
        {"title": "Goal", "body": "1:0", "tag": "score", "nh": {"id": "n-1", "run": "r-1"}},
        {
            "web_push": 8030,
            "notification": {"title": "Goal", "body": "1:0", "tag": "score", "navigate": "https://x.test"},
            "nh": {"id": "n-1", "run": "r-1"},
        },
    ],
    ids=["of our own", "declarative"],
)
def test_a_notice_with_the_same_tag_replaces_the_one_on_screen(webpush, payload):
    webpush.send(payload)
    webpush.send(payload)
    device = webpush.server.world.devices.find(webpush.subscriptions[0].endpoint)
    (one,) = webpush.server.world.record.of_device(device)
    assert (one.run, one.notification, one.times, one.replaced) == ("r-1", "n-1", 2, 1)
    assert (one.title, one.body, one.identity, one.shown) == ("Goal", "1:0", "score", True)


@pytest.mark.parametrize("payload", ["no object", [1], {"title": 7}])
def test_pages_may_send_what_they_like(webpush, payload):
    assert webpush.send(payload).status == 201
    assert webpush.server.world.record.totals(provider="webpush").accepted == 1


def test_a_message_without_a_body_needs_no_encoding(webpush):
    assert webpush.send(body=b"", content_encoding=None).status == 201
    assert webpush.server.world.record.totals(provider="webpush").accepted == 1


@pytest.mark.parametrize(
    ("headers", "errno"),
    [
        ({"ttl": None}, 111),
        ({"ttl": "-1"}, 112),
        ({"ttl": "1.5"}, 112),
        ({"ttl": ""}, 112),
        ({"urgency": "urgent"}, 110),
        ({"urgency": "low,high"}, 110),
        ({"topic": "x" * 33}, 113),
        ({"topic": "a b"}, 113),
        ({"topic": ""}, 113),
        ({"content_encoding": None}, 110),
        ({"content_encoding": "aesgcm"}, 110),
    ],
)
def test_a_bad_header_has_its_number(webpush, headers, errno):
    assert refusal(webpush.send(**headers)) == (400, errno)


@pytest.mark.parametrize("urgency", ["very-low", "low", "normal", "high"])
def test_the_four_urgencies_are_taken(webpush, urgency):
    assert webpush.send(urgency=urgency, topic="x" * 32).status == 201


def test_a_time_to_live_is_cut_to_thirty_days_and_the_answer_says_so(webpush):
    assert dict(webpush.send(ttl="99999999").headers)["ttl"] == "2592000"


def test_a_body_has_4096_bytes(webpush):
    fits = webpush.encrypt(b"x" * (4096 - 86 - 17))
    assert len(fits) == 4096
    assert webpush.send(body=fits).status == 201
    assert refusal(webpush.send(body=fits + b"x")) == (413, 104)


def test_who_shows_no_credentials_is_unauthorised(webpush):
    for authorization in (None, "", "Bearer abc", "WebPush " + webpush.token(), "vapid"):
        assert refusal(webpush.send(authorization=authorization)) == (401, 109)


def _bent(**claims: object) -> object:
    return lambda desk: desk.authorization(**claims)


@pytest.mark.parametrize(
    ("bend", "text"),
    [
        (_bent(aud="https://other.test"), "aud"),
        (_bent(aud="https://push.test/wpush"), "aud"),
        (_bent(aud=None), "aud"),
        (_bent(exp=int(time.time()) - 1), "expired"),
        (_bent(exp=int(time.time()) + 25 * 3600), "24 hours"),
        (_bent(exp="soon"), "exp"),
        (_bent(exp=None), "exp"),
        (_bent(sub=None), "sub"),
        (_bent(sub="ops@example.com"), "sub"),
        (lambda desk: f"vapid t={desk.token()}", "t and k"),
        (lambda desk: f"vapid k={base64url(desk.point)}", "t and k"),
        (lambda desk: f"vapid t={desk.token()}, k=abc", "k"),
        (lambda desk: f"vapid t={desk.token()}, k={base64url(bytes([4]) + bytes(64))}", "k"),
        (lambda desk: f"vapid t={desk.token()[:-6]}AAAAAA, k={base64url(desk.point)}", "signature"),
        (lambda desk: f"vapid t=a.b.c, k={base64url(desk.point)}", "signature"),
        (lambda desk: desk.authorization(key=ec.generate_private_key(ec.SECP256R1())), "made with"),
    ],
)
def test_credentials_that_do_not_hold_are_forbidden(webpush, bend, text):
    reply = webpush.send(authorization=bend(webpush))
    assert refusal(reply) == (403, 109)
    assert text in why(reply)


def test_a_signature_of_another_key_than_k_does_not_hold(webpush):
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = f"vapid t={webpush.token(key=stranger)}, k={base64url(webpush.point)}"
    assert refusal(webpush.send(authorization=forged)) == (403, 109)


@pytest.mark.parametrize(
    "write",
    [
        lambda token, key: f'VAPID t="{token}",k="{key}"',
        lambda token, key: f"vapid k={key}, t={token}",
        lambda token, key: f"vapid t={token}, k={key}, realm=x",
    ],
)
def test_credentials_are_read_however_they_are_written(webpush, write):
    assert webpush.send(authorization=write(webpush.token(), base64url(webpush.point))).status == 201


def test_a_list_of_audiences_may_name_others_too(webpush):
    own = webpush.authorization(aud=["https://other.test", "https://push.test"])
    assert webpush.send(authorization=own).status == 201


def test_known_credentials_expire_too(webpush, monkeypatch):
    own = webpush.authorization()
    assert webpush.send(authorization=own).status == 201
    later = time.time() + 3601
    monkeypatch.setattr("fleet.vapid.time.time", lambda: later)
    assert refusal(webpush.send(authorization=own)) == (403, 109)


def test_a_subscription_made_without_a_key_takes_from_anybody_but_no_bad_credentials(webpush):
    (open_to_all,) = webpush.server.webpush.subscribe(1)
    assert webpush.send(to=open_to_all, authorization=None).status == 201
    assert webpush.send(to=open_to_all).status == 201
    bad = webpush.authorization(aud="https://other.test")
    assert refusal(webpush.send(to=open_to_all, authorization=bad)) == (403, 109)


def test_a_signing_key_must_not_encrypt(webpush):
    body = webpush.encrypt(b"x")
    own = body[:21] + webpush.point + body[86:]
    assert refusal(webpush.send(body=own)) == (400, 110)


def test_a_subscription_nobody_made_is_not_found(webpush):
    forged = webpush.subscriptions[0].endpoint[:-1] + "!"
    for path in ("/", "/wpush/v2/", "/wpush/v2/zz", forged.removeprefix("https://push.test")):
        assert refusal(webpush.send(path=path)) == (404, 102)


def test_a_phones_number_is_no_subscription(webpush):
    webpush.server.world.devices.make("fcm", count=1, home="shop-1")
    phone = webpush.server.world.devices.mint.webpush(webpush.server.world.devices.total - 1)
    assert refusal(webpush.send(path=f"/wpush/v2/{phone}")) == (404, 102)


def test_only_post_is_taken(webpush):
    assert refusal(webpush.send(method="PUT")) == (405, 999)


def test_a_dead_subscription_is_gone_and_the_others_live(webpush):
    devices = webpush.server.world.devices
    dead = devices.find(webpush.subscriptions[1].endpoint)
    devices.bury(dead)
    assert refusal(webpush.send(to=webpush.subscriptions[1])) == (410, 106)
    assert webpush.server.world.refused_dead[dead] == 1
    assert webpush.send(to=webpush.subscriptions[2]).status == 201


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda body: body[:60], "at least"),
        (lambda body: body[:20] + bytes([64]) + body[21:], "keyid"),
        (lambda body: body[:21] + b"\4" + bytes(64) + body[86:], "P-256"),
        (lambda body: body[:16] + (17).to_bytes(4, "big") + body[20:], "rs"),
        (lambda body: body[:-1] + bytes([body[-1] ^ 1]), "not encrypted"),
    ],
    ids=["cut", "no key", "not on the curve", "record size", "changed"],
)
def test_what_the_browser_cannot_read_is_taken_and_shown_to_nobody(webpush, spoil, text):
    reply = webpush.send(body=spoil(webpush.encrypt(b"x")))
    assert reply.status == 201
    assert webpush.server.webpush.answers == {"201": 1, "undecryptable": 1}
    assert webpush.server.world.record.totals(provider="webpush").accepted == 0
    device = webpush.server.world.devices.find(webpush.subscriptions[0].endpoint)
    (letter,) = webpush.server.world.letters.of(device)
    assert text in letter.asked["undecryptable"]


def test_a_message_for_another_subscription_cannot_be_read(webpush):
    webpush.send(body=webpush.encrypt(b"x", webpush.subscriptions[1]))
    assert webpush.server.webpush.answers["undecryptable"] == 1


def test_two_records_are_one_too_many(webpush):
    body = webpush.encrypt(b"x" * 200)
    short = body[:16] + (100).to_bytes(4, "big") + body[20:]
    webpush.send(body=short)
    assert webpush.server.webpush.answers["undecryptable"] == 1


def test_outages_quotas_and_any_reason_on_demand(webpush):
    webpush.server.world.break_(
        "webpush",
        status_5xx=Failure(status=503, count=1, retry_after=3),
        quota_429=Quota(count=1, retry_after=9),
        answer=Refusal("Gone"),
    )
    reply = webpush.send()
    assert (refusal(reply), dict(reply.headers)["retry-after"]) == ((503, 201), "3")
    reply = webpush.send()
    assert (refusal(reply), dict(reply.headers)["retry-after"]) == ((429, 201), "9")
    assert refusal(webpush.send()) == (410, 106)
    assert webpush.send().status == 201


def test_refused_credentials_are_forbidden(webpush):
    webpush.server.world.break_("webpush", refuse_credentials=True)
    assert refusal(webpush.send()) == (403, 109)


def test_every_subscription_has_keys_of_its_own(webpush):
    keys = {(one.p256dh, one.auth, one.endpoint) for one in webpush.subscriptions}
    assert len(keys) == len({key for key, _, _ in keys}) == len({auth for _, auth, _ in keys}) == 5
    assert point_of(webpush.key.public_key()) == webpush.point


def test_the_oldest_letter_makes_room_for_a_newer_one(webpush):
    for number in range(2_001):
        webpush.server.world.letters.put("webpush", number, {}, b"")
    assert webpush.server.world.letters.of(0) == []
    assert len(webpush.server.world.letters.of(2_000)) == 1
