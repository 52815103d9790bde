"""Campaigns, rules, schedules, runs and transactional notifications by the API."""

import json
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from campaigns import launching
from campaigns.api import notifications
from campaigns.models import Campaign, CampaignVersion
from delivery import receipts, runs
from delivery.log.store import NewOutcome, log_store
from delivery.models import Parcel, Run
from delivery.positions import notification_id
from devices.models import Device
from tests.api.test_problems import problem
from tests.api_world import CLIENT_EVENT, EVENT, World

pytestmark = pytest.mark.django_db(databases=["default", "log"])


def make(shop: World, **fields: Any) -> Any:
    return shop.service("POST", "campaigns", {"name": "summer", "title": "Hi {{ first_name }}", **fields})


def test_a_campaign_is_made_looked_at_launched_and_stopped(shop: World) -> None:
    made = make(shop, segment=str(shop.segment.uid), category="news-shop", lane="normal")
    assert made.status_code == 201, made.content
    path = f"campaigns/{made.json()['id']}"
    assert shop.service("GET", path).json()["segment"] == str(shop.segment.uid)
    looked = shop.service("GET", f"{path}/preflight").json()
    rehearsed = looked.pop("dry_run")
    assert (rehearsed["audience"], rehearsed["told"], rehearsed["messages"]) == (1, 1, {"socket": 1})
    assert [sample["title"] for sample in rehearsed["samples"]] == ["Hi "]
    assert (looked["ready"], looked["problems"]) == (True, [])
    assert (looked["subscribers"], looked["consenting"], looked["devices"]) == (1, 1, {"socket": 1})
    launched = shop.service("POST", f"{path}/launch")
    assert launched.status_code == 202, launched.content
    run = f"runs/{launched.json()['run']}"
    assert shop.service("GET", run).json()["state"] == "running"
    problem(shop.service("POST", f"{path}/launch"), 409, "campaign-state")
    assert [one["state"] for one in shop.service("POST", f"{path}/pause").json()["runs"]] == ["paused"]
    problem(shop.service("POST", f"{path}/pause"), 409, "run-state")
    shop.service("POST", f"{path}/resume")
    assert shop.service("POST", f"{run}/cancel").json()["state"] == "cancelled"
    problem(shop.service("POST", f"{run}/resume"), 409, "run-state")
    progress = shop.service("GET", run).json()["progress"]
    assert (progress["planned"], progress["waiting"]) == (True, 0)


def test_a_launch_to_come_can_be_taken_back(shop: World) -> None:
    at = (timezone.now() + timedelta(hours=1)).isoformat()
    path = f"campaigns/{make(shop, send_at=at).json()['id']}"
    launched = shop.service("POST", f"{path}/launch").json()
    assert launched["launch_at"] is not None and not Run.objects.filter(uid=launched["run"]).exists()
    assert shop.service("POST", f"{path}/cancel").json() == {"runs": []}
    assert shop.service("GET", path).json()["state"] == "approved"


def test_a_recalled_run_says_when(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[UUID] = []
    monkeypatch.setattr("delivery.presence.recall", lambda application, run: told.append(run))
    answer = shop.service("POST", f"runs/{shop.run.uid}/recall").json()
    assert answer["recalled_at"] and answer["state"] == "cancelled"
    assert told == [shop.run.uid]


@pytest.mark.parametrize(
    ("fields", "pointer", "said"),
    [
        ({"title": "Hi {{ first_name"}, "/title", "line 1"),
        ({"body": "a\n{% if %}"}, "/body", "line 2"),
        ({"locales": {"de": {"titel": "x"}}}, "/locales/de/titel", "title"),
        ({"locales": {"de": {"title": "{% x %}"}}}, "/locales/de/title", "line 1"),
        ({"overrides": {"tvv": {"title": "x"}}}, "/overrides/tvv", "tv"),
        ({"data": {"a": {"b": 1}}}, "/data/a", "text"),
        ({"lane": "slow"}, "/lane", "slow"),
        ({"segment": "x"}, "/segment", "no segment"),
        ({"category": "news-bank"}, "/category", "no category"),
        ({"ttl": 0}, "/ttl", "1"),
        ({"ramp": 5}, "/ramp", "rate"),
        ({"window_start": "20:00"}, "/window_end", "until when"),
        ({"window_start": "20:00", "window_end": "18:00"}, "/window_end", "ends before it begins"),
        ({"window_start": "25:00", "window_end": "18:00"}, "/window_start", "format"),
        ({"jitter": 9999}, "/jitter", "3,600"),
        ({"local_time": "9"}, "/local_time", "format"),
        ({"local_late": "never"}, "/local_late", "never"),
        ({"critical_override": True}, "/critical_override", "lane critical"),
        ({"state": "live"}, "/state", "set by the hub"),
        ({"titel": "x"}, "/titel", "did you mean “title”"),
        ({"title": "x" * 201}, "/title", "200"),
    ],
)
def test_a_wrong_campaign_is_refused_when_it_is_saved(
    shop: World, bank: World, fields: dict[str, Any], pointer: str, said: str
) -> None:
    told = problem(make(shop, **fields), 400, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]
    assert said in told["errors"][0]["detail"]


def test_a_draft_may_be_empty_but_not_launched(shop: World) -> None:
    path = f"campaigns/{make(shop, title='').json()['id']}"
    looked = shop.service("GET", f"{path}/preflight").json()
    assert (looked["ready"], looked["problems"][0]["pointer"]) == (False, "/title")
    problem(shop.service("POST", f"{path}/launch"), 400, "invalid")
    problem(shop.service("PATCH", path, {"body": "{{"}), 400, "invalid")
    assert shop.service("PATCH", path, {"body": "Now"}).status_code == 200
    assert shop.service("POST", f"{path}/approve").json()["state"] == "approved"


def test_a_key_needs_a_scope_to_launch_what_overrides(shop: World) -> None:
    shop.service("PATCH", "categories/news-shop", {"critical_overrides": True})
    fields = {"lane": "critical", "category": "news-shop", "critical_override": True}
    path = f"campaigns/{make(shop, **fields).json()['id']}"
    told = problem(shop.caller("campaigns:launch")("POST", f"{path}/launch"), 400, "invalid")
    assert told["errors"][0]["pointer"] == "/critical_override"
    launched = shop.caller("campaigns:launch", "campaigns:override")("POST", f"{path}/launch")
    assert launched.status_code == 202, launched.content
    assert Run.objects.get(uid=launched.json()["run"]).snapshot["policy"]["override"] is True


def test_a_preflight_rehearses_the_whole_audience_on_request(shop: World) -> None:
    path = f"campaigns/{shop.campaign.uid}/preflight?everybody=true"
    rehearsed = shop.service("GET", path).json()["dry_run"]
    assert (rehearsed["sampled"], rehearsed["margin"], rehearsed["seconds"]) == (False, 0.0, 0.0)
    assert rehearsed["bytes"]["socket"]["total"] > 0


def test_a_key_uses_only_its_lanes(shop: World) -> None:
    slow = shop.caller(
        "campaigns:write", "campaigns:launch", "rules:write", "notifications:write", lanes=("bulk",)
    )
    problem(slow("POST", "campaigns", {"name": "x", "title": "x", "lane": "critical"}), 403, "lane")
    problem(slow("PATCH", f"campaigns/{shop.campaign.uid}", {"lane": "high"}), 403, "lane")
    problem(slow("POST", "event-types", {"name": "a", "lane": "critical"}), 403, "lane")
    problem(slow("POST", "notifications", {"to": "ada-shop", "title": "x", "lane": "critical"}), 403, "lane")
    fast = make(shop, lane="critical").json()["id"]
    problem(slow("POST", f"campaigns/{fast}/launch"), 403, "lane")


def test_event_types_rules_and_schedules_are_made_and_changed(shop: World) -> None:
    made = shop.service(
        "POST",
        "event-types",
        {"name": "com.example.door", "senders": ["clock"], "schema": {"type": "object"}},
    )
    assert made.status_code == 201, made.content
    assert shop.service("GET", "event-types/com.example.door").json()["lane"] == "normal"
    assert shop.service("PATCH", "event-types/com.example.door", {"description": "x"}).status_code == 200
    rule = shop.service(
        "POST",
        "rules",
        {
            "name": "r",
            "event_type": EVENT,
            "campaign": str(shop.campaign.uid),
            "condition": "event.data.order > 3",
        },
    )
    assert (rule.status_code, rule.json()["version"]) == (201, 1)
    assert shop.service("PATCH", f"rules/{rule.json()['id']}", {"enabled": False}).json()["version"] == 2
    schedule = shop.service(
        "POST",
        "schedules",
        {
            "name": "s",
            "event_type": "com.example.door",
            "crontab": "0 9 * * mon-fri",
            "time_zone": "Europe/Berlin",
        },
    )
    assert schedule.status_code == 201, schedule.content


@pytest.mark.parametrize(
    ("path", "fields", "pointer"),
    [
        ("event-types", {"name": "a/b"}, "/name"),
        ("event-types", {"name": "a", "schema": {"type": "objekt"}}, "/schema"),
        ("event-types", {"name": "a", "senders": ["everybody"]}, "/senders/0"),
        ("rules", {"condition": "event.data >"}, "/condition"),
        ("rules", {"recipients": "ids"}, "/recipient_ids"),
        ("rules", {"lane": "critical"}, "/lane"),
        ("rules", {"event_type": "com.example.nothing"}, "/event_type"),
        ("rules", {"beyond_sender": True}, "/beyond_sender"),
        ("rules", {"platforms": ["phone"]}, "/platforms/0"),
        ("schedules", {"crontab": "9 o'clock"}, "/crontab"),
        ("schedules", {"time_zone": "Berlin"}, "/time_zone"),
        ("schedules", {"event_type": CLIENT_EVENT}, "/event_type"),
    ],
)
def test_wrong_rules_are_refused_with_their_place(
    shop: World, path: str, fields: dict[str, Any], pointer: str
) -> None:
    whole: dict[str, dict[str, Any]] = {
        "event-types": {},
        "rules": {"name": "r", "event_type": EVENT, "campaign": str(shop.campaign.uid)},
        "schedules": {"name": "s", "event_type": EVENT, "crontab": "0 9 * * *", "time_zone": "UTC"},
    }
    told = problem(shop.service("POST", path, {**whole[path], **fields}), 400, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]


def test_a_notification_reaches_named_subscribers_once_per_key(shop: World) -> None:
    body = {"to": "ada-shop", "title": "Your order", "lane": "high"}
    first = shop.service("POST", "notifications", body, Idempotency_Key="k1")
    assert first.status_code == 202, first.content
    assert first.json()["notifications"][0]["to"] == "ada-shop"
    again = shop.service("POST", "notifications", body, Idempotency_Key="k1")
    assert (again.status_code, again.json()) == (202, first.json())
    problem(
        shop.service("POST", "notifications", {**body, "title": "x"}, Idempotency_Key="k1"),
        422,
        "idempotency-key-reused",
    )


def test_what_is_critical_and_waited_for_goes_straight_to_the_nodes(shop: World, nobody_online: None) -> None:
    """No worker is there: whoever takes it in plans it and asks where the device is; what is not critical waits."""
    body = {"to": "ada-shop", "title": "Now"}
    for lane, outcomes, waiting in (("critical", {"stored": 1}, 0), ("high", {}, 1)):
        answer = shop.service("POST", "notifications?wait=0.01", {**body, "lane": lane}).json()
        assert (answer["outcomes"], answer["complete"]) == (outcomes, not waiting), lane
    told = shop.service("POST", "notifications", {**body, "lane": "critical"}).json()
    assert not runs.progress(Run.objects.get(uid=told["run"])).complete


def test_who_waits_is_told_what_each_device_has_acknowledged(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is played: at the first pause it has written to the device, at the second the device answers."""
    played: list[str] = []

    def play(seconds: float) -> None:
        run = Run.objects.latest("pk")
        told = notification_id(run.uid, shop.subscriber.uid)
        if not played:
            run.pages.update(state="done", messages=1, audience=1, logged=1)
            page = run.pages.get()
            row = {
                "run": run,
                "page": page,
                "application": shop.application,
                "lane": run.lane,
                "provider": "socket",
            }
            Parcel.objects.create(**row, state="done", sent=1, size=1, due_at=0, created_at=0)
            who = shop.subscriber
            outcome = NewOutcome(
                who.pk, who.uid.bytes, told.bytes, shop.device.uid.bytes, "sent", "written", ""
            )
            log_store().write_outcomes([outcome], run=run.uid, version=1, at=1.0)
        else:
            receipts.record(shop.subscriber.uid, shop.device.uid, [told], "acknowledged", at=1_700_000_000.0)
        played.append("written" if not played else "acknowledged")

    monkeypatch.setattr("campaigns.api.notifications.time.sleep", play)
    answer = shop.service("POST", "notifications?wait=10", {"to": "ada-shop", "title": "Now"}).json()
    assert played == ["written", "acknowledged"]
    assert (answer["complete"], answer["outcomes"]) == (True, {"sent": 1})
    assert answer["devices"] == [
        {
            "to": "ada-shop",
            "device": str(shop.device.uid),
            "outcome": "sent",
            "reason": "written",
            "acknowledged_at": "2023-11-14T22:13:20Z",
        }
    ]


def test_when_many_wait_the_next_is_answered_at_once(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.api.notifications._waiting", BoundedSemaphore(1))

    def no_sleep(seconds: float) -> None:
        raise AssertionError("it waited")

    monkeypatch.setattr("campaigns.api.notifications.time.sleep", no_sleep)
    with notifications._waiting:
        answer = shop.service("POST", "notifications?wait=10", {"to": "ada-shop", "title": "Now"})
    assert (answer.status_code, answer.json()["complete"]) == (202, False)


def test_waiting_for_outcomes_ends_in_time_and_says_what_is_open(shop: World) -> None:
    body = {"to": "ada-shop", "title": "Your order"}
    told = shop.service("POST", "notifications?wait=0.01", body).json()
    assert (told["complete"], told["outcomes"]) == (False, {})
    Run.objects.get(uid=told["run"]).pages.update(state="done")
    problem(shop.service("POST", "notifications?wait=11", body), 400, "invalid")
    problem(shop.service("POST", "notifications?wait=nan", body), 400, "invalid")


def test_a_notification_for_another_applications_subscriber_is_404(shop: World, bank: World) -> None:
    told = problem(
        shop.service("POST", "notifications", {"to": ["ada-shop", "ada-bank"], "title": "x"}),
        404,
        "subscriber-unknown",
    )
    assert "ada-bank" in told["detail"] and "ada-shop" not in told["detail"]


def test_a_notification_may_use_a_campaigns_content(shop: World) -> None:
    body = {"to": "ada-shop", "campaign": str(shop.campaign.uid)}
    problem(shop.service("POST", "notifications", body), 409, "campaign-not-live")
    shop.service("POST", f"campaigns/{shop.campaign.uid}/approve")
    assert shop.service("POST", "notifications", body).status_code == 202


def test_runs_are_listed_by_state_and_origin(shop: World, bank: World) -> None:
    items = shop.service("GET", f"runs?origin=campaign:{shop.campaign.uid}").json()["items"]
    assert [item["id"] for item in items] == [str(shop.run.uid)]
    assert shop.service("GET", "runs?state=done").json()["items"] == []


def test_a_halted_run_goes_on_with_or_without_its_brake(shop: World) -> None:
    path = f"runs/{shop.run.uid}"
    runs.halt(shop.run, "60 of 60 tokens were refused.")
    told = shop.service("GET", path).json()
    assert (told["state"], told["brake"], told["reason"]) == (
        "paused",
        "tripped",
        "60 of 60 tokens were refused.",
    )
    problem(shop.service("POST", f"{path}/resume", {"retire": True}), 400, "invalid")
    told = shop.service("POST", f"{path}/resume").json()
    assert (told["state"], told["brake"], told["reason"]) == ("running", "ready", "")
    shop.run.refresh_from_db()
    runs.halt(shop.run, "60 of 60 tokens were refused.")
    told = shop.service("POST", f"{path}/resume", {"retire_anyway": True}).json()
    assert (told["state"], told["brake"]) == ("running", "off")


def test_a_campaign_says_whether_one_device_spares_the_others(shop: World) -> None:
    path = f"campaigns/{shop.campaign.uid}"
    assert shop.service("GET", path).json()["silence_across_devices"] is False
    told = shop.service("PATCH", path, {"silence_across_devices": True}).json()
    assert told["silence_across_devices"] is True
    shop.campaign.refresh_from_db()
    assert launching.snapshot_of(shop.campaign).silence_across_devices


def test_preflight_counts_only_who_may_be_told(shop: World) -> None:
    Device.objects.create(
        application=shop.application, subscriber=shop.subscriber, platform="tv", provider="socket"
    )
    path = f"campaigns/{shop.campaign.uid}/preflight"
    assert shop.service("GET", path).json()["devices"] == {"socket": 2}
    shop.service("PUT", "subscribers/ada-shop", {"consent": False})
    looked = shop.service("GET", path).json()
    assert (looked["subscribers"], looked["consenting"], looked["devices"]) == (1, 0, {})


@pytest.mark.django_db(databases=["default", "log"])
def test_why_is_answered_for_the_applications_own_people(shop: World, bank: World) -> None:
    told = shop.service("GET", f"why?subscriber=ada-shop&campaign={shop.campaign.uid}")
    assert told.status_code == 200 and told.json()["audience"]["member"] is True
    problem(shop.service("GET", f"why?subscriber=ada-bank&campaign={shop.campaign.uid}"), 404, "not-found")
    problem(shop.service("GET", f"why?subscriber=ada-shop&campaign={bank.campaign.uid}"), 404, "not-found")
    problem(shop.service("GET", "why?subscriber=ada-shop&campaign=x"), 404, "not-found")
    problem(shop.service("GET", "why"), 400, "invalid")
    problem(shop.service("GET", "why?subscriber=ada-shop"), 400, "invalid")
    one = shop.service("GET", f"why?subscriber=ada-shop&run={shop.run.uid}").json()
    assert one["run"]["uid"] == str(shop.run.uid) and one["answer"]["sentences"]
    problem(shop.service("GET", f"why?subscriber=ada-shop&run={bank.run.uid}"), 404, "not-found")


def test_every_platforms_options_are_kept_and_a_wrong_one_is_refused_with_its_place(shop: World) -> None:
    body = {
        "name": "options",
        "title": "T",
        "subtitle": "S",
        "sound": "ping",
        "android": {"channel_id": "news"},
        "ios": {"interruption_level": "passive"},
        "web": {"icon": "/i.png"},
    }
    made = shop.service("POST", "campaigns", body)
    assert made.status_code == 201, made.content
    assert {name: made.json()[name] for name in body} == body
    shop.service("POST", f"campaigns/{made.json()['id']}/approve")
    text = CampaignVersion.objects.get(campaign__uid=made.json()["id"]).snapshot["texts"]["en"]
    assert (text["subtitle"], text["sound"], text["ios"]) == ("S", "ping", {"interruption_level": "passive"})
    for wrong, pointer in [
        ({"ios": {"interuption_level": "x"}}, "/ios/interuption_level"),
        ({"overrides": {"android": {"android": {"priority": "low"}}}}, "/overrides/android/android/priority"),
    ]:
        told = problem(shop.service("PATCH", f"campaigns/{made.json()['id']}", wrong), 400, "invalid")
        assert [error["pointer"] for error in told["errors"]] == [pointer]


def test_too_large_data_is_refused_when_it_is_written_with_the_byte_count(shop: World) -> None:
    body = {"name": "heavy", "title": "T", "data": {f"k{n}": "v" * 1_900 for n in range(3)}}
    told = problem(shop.service("POST", "campaigns", body), 400, "invalid")
    assert [error["pointer"] for error in told["errors"]] == ["/data"]
    assert "bytes to Web Push, which takes 3,993" in told["errors"][0]["detail"]
    sent = shop.service("POST", "notifications", {"to": "ada-shop", "title": "T", "data": body["data"]})
    assert problem(sent, 400, "content")["pointer"] == "/data"


def test_preflight_finds_data_that_is_too_large_for_somebody(shop: World) -> None:
    keys = {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    }
    token = json.dumps(["https://x.test/", *keys.values(), "a" * 22])
    Device.objects.filter(pk=shop.device.pk).update(provider="webpush", token=token)
    shop.subscriber.attributes["note"] = "x" * 4_500
    shop.subscriber.save()
    made = shop.service(
        "POST", "campaigns", {"name": "n", "title": "T", "data": {"note": "{{ note }}"}}
    ).json()
    found = shop.service("GET", f"campaigns/{made['id']}/preflight").json()
    assert not found["ready"] and found["problems"][0]["pointer"] == "/data"
    assert "1 of 1 messages to Web Push" in found["problems"][0]["detail"]


def test_an_event_starts_a_campaign(shop: World) -> None:
    wrong = make(shop, event_delay=60)
    assert "/event_type" in str(problem(wrong, 400, "invalid"))
    made = make(shop, event_type=EVENT, event_delay=60, event_once_days=2)
    assert made.status_code == 201, made.content
    path = f"campaigns/{made.json()['id']}"
    launched = shop.service("POST", f"{path}/launch")
    assert (launched.status_code, launched.json()) == (202, {"run": None, "version": 1, "launch_at": None})
    (rule,) = [one for one in shop.service("GET", "rules").json()["items"] if one["of_campaign"]]
    assert (rule["delay"], rule["once_days"], rule["unless"], rule["enabled"]) == (60, 2, None, True)
    problem(shop.service("PATCH", f"rules/{rule['id']}", {"delay": 5}), 409, "rule-of-campaign")
    problem(shop.service("DELETE", f"rules/{rule['id']}"), 409, "rule-of-campaign")


def test_a_rule_may_wait(shop: World) -> None:
    given = {"name": "later", "event_type": EVENT, "campaign": str(shop.campaign.uid), "delay": 60}
    wrong = shop.service("POST", "rules", {**given, "recipients": "audience"})
    assert "not for a whole audience" in str(problem(wrong, 400, "invalid"))
    made = shop.service("POST", "rules", given)
    assert made.status_code == 201 and made.json()["delay"] == 60, made.content


@pytest.mark.parametrize(
    ("fields", "pointer", "said"),
    [
        ({"repeat": "0 9 * * *", "repeat_zone": "Mars/Olympus"}, "/repeat_zone", "no IANA time zone"),
        (
            {
                "repeat": "0 9 * * *",
                "send_at": "2099-02-01T00:00:00Z",
                "repeat_until": "2099-01-01T00:00:00Z",
            },
            "/repeat_until",
            "ends before it begins",
        ),
        ({"best_hour": 12, "best_from": 20, "best_until": 8}, "/best_until", "ends before it begins"),
        ({"link": "javascript:alert(1)"}, "/link", "must not begin with javascript:"),
        ({"body": "{% for i in (1..100000000) %}x{% endfor %}"}, "/body", "loop iteration limit"),
        ({"badge": "many"}, "/badge", "must be auto"),
        ({"event_type": EVENT, "event_condition": "event.data.x >"}, "/event_condition", "line 1"),
    ],
)
def test_bad_input_is_refused_at_its_place_and_nothing_is_made(
    shop: World, fields: dict[str, Any], pointer: str, said: str
) -> None:
    told = problem(make(shop, **fields), 400, "invalid")
    assert [one["pointer"] for one in told["errors"]] == [pointer] and said in str(told["errors"])
    assert not Campaign.objects.filter(name="summer").exists()


def test_a_badge_is_auto_or_a_number(shop: World) -> None:
    kept = [make(shop, name=f"c{badge}", badge=badge).json()["badge"] for badge in ("auto", 7)]
    assert kept == ["auto", "7"]
    for badge in ("auto", 7):
        sent = shop.service(
            "POST", "notifications", {"to": shop.subscriber.external_id, "title": "x", "badge": badge}
        )
        assert sent.status_code == 202, sent.content
        run = Run.objects.get(uid=sent.json()["run"])
        assert run.snapshot["texts"]["en"]["badge"] == str(badge)
