"""FCM refuses what Google's refuses, in Google's words, and delivers the rest."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from fleet.faults import Failure, Quota, Refusal
from fleet.http import Reply


def error(reply: Reply) -> tuple[int, str]:
    content = msgspec.json.decode(reply.body)["error"]
    assert content["code"] == reply.status
    return reply.status, content["status"]


def code(reply: Reply) -> str | None:
    for detail in msgspec.json.decode(reply.body)["error"]["details"]:
        if detail["@type"] == "type.googleapis.com/google.firebase.fcm.v1.FcmError":
            return str(detail["errorCode"])
    return None


def field(reply: Reply) -> str:
    """Return the field an INVALID_ARGUMENT names."""
    assert error(reply) == (400, "INVALID_ARGUMENT")
    details: list[dict[str, Any]] = msgspec.json.decode(reply.body)["error"]["details"]
    (bad,) = [one for one in details if one["@type"] == "type.googleapis.com/google.rpc.BadRequest"]
    return str(bad["fieldViolations"][0]["field"])


def test_a_message_is_accepted_with_its_name(fcm):
    reply = fcm.send(notification={"title": "Hello"})
    assert reply.status == 200
    assert msgspec.json.decode(reply.body)["name"].startswith("projects/shop-1/messages/0:")


def test_everything_the_reference_lists_is_taken(fcm):
    reply = fcm.send(
        data={"a": "b"},
        notification={"title": "t", "body": "b", "image": "https://example.com/i.png"},
        android={
            "collapse_key": "c",
            "priority": "HIGH",
            "ttl": "3.5s",
            "notification": {"tag": "x", "color": "#aabbcc", "channel_id": "news", "notification_count": 3},
        },
        apns={"headers": {"apns-priority": "10"}, "payload": {"aps": {"badge": 1}}},
        webpush={"fcm_options": {"link": "https://example.com"}},
        fcm_options={"analytics_label": "spring"},
    )
    assert reply.status == 200


def test_camel_case_names_are_taken_as_proto_json_does(fcm):
    assert fcm.send(android={"collapseKey": "c", "notification": {"channelId": "n"}}).status == 200


def test_validate_only_delivers_nothing(fcm):
    assert fcm.send(validate_only=True).status == 200
    assert fcm.server.world.record.totals().accepted == 0


@pytest.mark.parametrize(
    ("bearer", "reason"), [(None, "CREDENTIALS_MISSING"), ("Bearer wrong", "ACCESS_TOKEN_TYPE_UNSUPPORTED")]
)
def test_a_missing_or_unknown_bearer_is_unauthenticated(fcm, bearer, reason):
    reply = fcm.post(b"{}", bearer=bearer)
    assert error(reply) == (401, "UNAUTHENTICATED")
    assert msgspec.json.decode(reply.body)["error"]["details"][0]["reason"] == reason


def test_an_expired_bearer_is_unauthenticated(fcm):
    fcm.server.oauth.expire_all()
    reply = fcm.send()
    assert error(reply) == (401, "UNAUTHENTICATED")
    assert msgspec.json.decode(reply.body)["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"


def test_another_project_is_forbidden(fcm):
    assert error(fcm.post(b"{}", project="other")) == (403, "PERMISSION_DENIED")


def test_a_dead_token_is_unregistered(fcm):
    fcm.server.world.devices.bury(fcm.server.world.devices.find(fcm.tokens[3]))
    reply = fcm.send(token=fcm.tokens[3])
    assert (error(reply), code(reply)) == ((404, "NOT_FOUND"), "UNREGISTERED")
    assert fcm.send(token=fcm.tokens[4]).status == 200


def test_a_token_nobody_made_is_unregistered(fcm):
    made = fcm.tokens[0]
    other = made[:-1] + ("_" if made[-1] != "_" else "-")
    assert code(fcm.send(token=other)) == "UNREGISTERED"


@pytest.mark.parametrize("token", ["", "short", "f-1234567890123-1234567:APA91b" + "x" * 134])
def test_a_strange_token_is_refused_and_never_an_error_of_ours(fcm, token):
    assert fcm.send(token=token).status in (400, 404)


def test_a_malformed_token_has_fcms_code_and_names_no_field(fcm):
    reply = fcm.send(token="not-a-token")
    content = msgspec.json.decode(reply.body)["error"]
    assert content["message"] == "The registration token is not a valid FCM registration token"
    assert (error(reply), code(reply), len(content["details"])) == (
        (400, "INVALID_ARGUMENT"),
        "INVALID_ARGUMENT",
        1,
    )


def test_what_the_parser_refuses_has_no_code_of_fcms(fcm):
    assert code(fcm.send(colour="red")) is None
    assert code(fcm.send(data={"from": "x"})) == "INVALID_ARGUMENT"


def test_a_token_of_another_project_is_a_sender_mismatch(fcm):
    (token,) = fcm.server.world.devices.make("fcm", count=1, home="other")
    reply = fcm.send(token=token)
    assert (error(reply), code(reply)) == ((403, "PERMISSION_DENIED"), "SENDER_ID_MISMATCH")


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"colour": "red"}, "message"),
        ({"notification": {"titel": "x"}}, "message.notification"),
        ({"android": {"notification": {"badge": 1}}}, "message.android.notification"),
        ({"data": {"a": "b", "n": 1}}, "message.data[1].value"),
        ({"data": {"n": None}}, "message.data[0].value"),
        ({"notification": {"title": 7}}, "message.notification.title"),
        ({"data": {"from": "x"}}, "message.data"),
        ({"data": {"message_type": "x"}}, "message.data"),
        ({"data": {"google.a": "x"}}, "message.data"),
        ({"data": {"gcm.notification.a": "x"}}, "message.data"),
        ({"android": {"ttl": "3600"}}, "message.android.ttl"),
        ({"android": {"ttl": "-1s"}}, "message.android.ttl"),
        ({"android": {"ttl": "2419201s"}}, "message.android.ttl"),
        ({"android": {"priority": "URGENT"}}, "message.android.priority"),
        ({"android": {"notification": {"color": "red"}}}, "message.android.notification.color"),
        ({"data": {"a": "x" * 4096}}, "message"),
        ({"notification": {"body": "é" * 2048 + "x"}}, "message"),
        ({"topic": "news", "token": "x"}, "message"),
        ({"topic": "no spaces"}, "message.topic"),
    ],
)
def test_a_bad_message_names_the_field(fcm, message, name):
    assert field(fcm.send(**message)) == name


def test_a_message_without_a_target_is_refused(fcm):
    assert field(fcm.post(b'{"message":{"data":{"a":"b"}}}')) == "message"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"message":1}', b'{"message":null}', b"\xff"]
)
def test_what_is_no_message_is_refused(fcm, body):
    assert error(fcm.post(body)) == (400, "INVALID_ARGUMENT")


def test_4096_bytes_of_payload_are_taken(fcm):
    assert fcm.send(data={"a": "x" * 4095}).status == 200


def test_quota_is_429_with_retry_after_and_then_over(fcm):
    fcm.server.world.break_("fcm", quota_429=Quota(count=1, retry_after=7))
    reply = fcm.send()
    assert (error(reply), code(reply)) == ((429, "RESOURCE_EXHAUSTED"), "QUOTA_EXCEEDED")
    assert ("retry-after", "7") in reply.headers
    assert fcm.send().status == 200


@pytest.mark.parametrize(("status", "name"), [(503, "UNAVAILABLE"), (500, "INTERNAL")])
def test_an_outage_answers_as_often_as_asked(fcm, status, name):
    fcm.server.world.break_("fcm", status_5xx=Failure(status=status, count=2))
    assert [code(fcm.send()), code(fcm.send()), fcm.send().status] == [name, name, 200]


def test_any_answer_can_be_chosen(fcm):
    fcm.server.world.break_("fcm", answer=Refusal("THIRD_PARTY_AUTH_ERROR"))
    reply = fcm.send()
    assert (error(reply), code(reply)) == ((401, "UNAUTHENTICATED"), "THIRD_PARTY_AUTH_ERROR")


def test_refused_credentials_refuse_tokens_and_assertions(fcm):
    fcm.server.world.break_("fcm", refuse_credentials=True)
    assert fcm.send().status == 401
    assert fcm.exchange(fcm.assertion()).status == 400


def test_a_fraction_of_devices_is_always_the_same(fcm):
    fcm.server.world.break_("fcm", dead_fraction=0.5)
    once = [fcm.send(token=token).status for token in fcm.tokens]
    assert once == [fcm.send(token=token).status for token in fcm.tokens]
    assert set(once) == {200, 404}


def test_a_lost_answer_has_still_arrived(fcm, new_id):
    fcm.server.world.break_("fcm", lost_answers=1)
    assert fcm.notify(fcm.tokens[0], id=new_id).wait is None
    assert fcm.server.world.record.totals(run="run-1").accepted == 1


def test_latency_delays_the_answer_not_the_arrival(fcm):
    fcm.server.world.break_("fcm", latency_ms=50)
    assert fcm.send().wait == pytest.approx(0.05)
    assert fcm.server.world.record.totals().accepted == 1


def test_arrivals_carry_run_notification_text_and_time(fcm, new_id):
    before = int(time.time() * 1000)
    fcm.notify(fcm.tokens[0], id=new_id, tag=new_id, title="Sale")
    (one,) = fcm.server.world.record.of_device(fcm.server.world.devices.find(fcm.tokens[0]))
    assert (one.run, one.notification, one.identity, one.title, one.body) == (
        "run-1",
        new_id,
        new_id,
        "Sale",
        "World",
    )
    assert before <= one.first_at <= int(time.time() * 1000)


def test_a_data_message_arrives_but_shows_nothing(fcm, new_id):
    fcm.send(data={"nh_id": new_id, "nh_run": "r"})
    (one,) = fcm.server.world.record.of_device(0)
    assert not one.shown


def test_an_unknown_path_is_a_404_page(fcm):
    reply = fcm.post(b"", project="a/b")
    assert reply.status == 404
