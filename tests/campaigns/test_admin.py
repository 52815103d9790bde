"""The marketers' pages: composing, approving and launching, and the events and rules, as members use them."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Campaign, Decision, Event, EventType, Rule, Schedule
from delivery.models import Run
from devices.models import Category, Preference, Role, Segment, Subscriber
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


@pytest.fixture
def harbour() -> World:
    return build("Harbour")


def sign_in(world: World, role: Role) -> Client:
    client = Client()
    client.force_login(member(f"a-{role}", world.application, role))
    return client


def content(**changes: Any) -> dict[str, Any]:
    whole = {"name": "Autumn", "title": "20 % off", "body": "Until Sunday", "lane": "bulk", "ttl": "1 hour"}
    return {**whole, **changes}


def add(client: Client, model: str, posted: dict[str, Any]) -> Any:
    return client.post(reverse(f"admin:campaigns_{model}_add"), posted, follow=True)


def errors(response: Any) -> dict[str, str]:
    found = json.loads(response.context["adminform"].form.errors.as_json())
    return {field: " ".join(one["message"] for one in every) for field, every in found.items()}


def press(client: Client, button: str, campaign: Campaign) -> Any:
    response = client.post(reverse(f"admin:campaigns_campaign_{button}", args=[campaign.pk]), follow=True)
    campaign.refresh_from_db()
    return response


def look(client: Client, button: str, campaign: Campaign) -> str:
    address = reverse(f"admin:campaigns_campaign_{button}", args=[campaign.pk])
    return html.unescape(client.get(address, follow=True).content.decode())


# -- composing


def test_a_campaigns_buttons_ask_once_whose_it_is(meadow: World) -> None:
    campaign, client = meadow.of(Campaign), sign_in(meadow, Role.APPROVER)
    address = reverse("admin:campaigns_campaign_change", args=[campaign.pk])
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    assert sum('FROM "campaigns_campaign"' in one["sql"] for one in queries) <= 4


def test_a_marketer_writes_a_draft(meadow: World) -> None:
    add(sign_in(meadow, Role.MARKETER), "campaign", content())
    made = Campaign.objects.get(name="Autumn")
    assert (made.application, made.state, str(made.created_by)) == (meadow.application, "draft", "a-marketer")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"title": "Hello {{ name"}, "title", "Line 1"),
        ({"body": "One\n{% if x %}two"}, "body", "Line"),
        ({"body": "One\n{{ x | shout }}"}, "body", "Line 2: unknown filter 'shout'"),
        ({"title": "", "body": ""}, "title", "write a title or a body"),
        (
            {"data-0-key": "screen", "data-0-value": "{{ x | shout }}"},
            "data",
            "screen, line 1: unknown filter",
        ),
        ({"data-0-value": "offers"}, "data", "has no key"),
        ({"data-0-key": "a", "data-1-key": "a"}, "data", "stands there twice"),
        (
            {"locales-0-tag": "de", "locales-0-title": "{{ x | shout }}"},
            "locales",
            "de, title, line 1: unknown",
        ),
        ({"locales-0-title": "Hallo"}, "locales", "Say which language"),
        ({"locales-0-tag": "de", "locales-1-tag": "DE"}, "locales", "stands there twice"),
        ({"locales-0-tag": "d e", "locales-0-title": "x"}, "locales", "BCP 47"),
        ({"locales-0-tag": "de", "locales-0-link": "JavaScript:alert(1)"}, "locales", "must not begin with"),
        ({"tv__body": "{{ x | shout }}"}, "tv__body", "Line 1: unknown filter"),
        (
            {"tv__data-0-key": "a", "tv__data-0-value": "{{ x | shout }}"},
            "tv__data",
            "a, line 1: unknown filter",
        ),
        ({"tv__data-0-value": "offers"}, "tv__data", "has no key"),
        ({"ios__badge": "many"}, "ios__badge", "must be auto"),
        ({"web__buttons-0-link": "https://x"}, "web__buttons", "needs a label"),
        ({"web__buttons-0-label": "Buy", "web__buttons-0-link": "x"}, "web__buttons", "https://"),
        ({"ios_options-0-key": "relevance_scor"}, "ios_options", "did you mean “relevance_score”?"),
        ({"ios_options-0-key": "priority", "ios_options-0-value": "7"}, "ios_options", "one of 1, 5, 10"),
        ({"ios_options-0-key": "category"}, "ios_options", "has a field of its own above"),
        ({"image": "http://x"}, "image", "https://"),
        ({"link": "javascript:alert(1)"}, "link", "must not begin with javascript:"),
        ({"link": " java\nscript:alert(1)"}, "link", "must not begin with javascript:"),
        ({"ios__link": "data:text/html,x"}, "ios__link", "must not begin with data:"),
        ({"buttons-0-label": "Buy", "buttons-0-link": "javascript:x"}, "buttons", "https://"),
        ({"buttons-0-link": "https://x"}, "buttons", "needs a label"),
        ({"android_color": "red"}, "android_color", "a colour as"),
        ({"badge": "-1"}, "badge", "must be auto"),
        ({"badge": "many"}, "badge", "must be auto"),
        ({"body": "{% for i in (1..100000000) %}x{% endfor %}"}, "body", "loop iteration limit"),
        ({"repeat-kind": "daily", "repeat-zone": "Mars/Olympus"}, "repeat", "no time zone"),
        ({"repeat-kind": "weekly"}, "repeat", "at least one day"),
        ({"repeat-kind": "daily", "repeat-at": "25:99"}, "repeat", "no time"),
        ({"repeat-kind": "crontab", "repeat-crontab": "* * * * *"}, "repeat", "more often than"),
        ({"repeat-kind": "crontab", "repeat-crontab": "61 * * * *"}, "repeat", "cannot be read"),
        ({"repeat-kind": "daily", "repeat-until": "2020-01-01"}, "repeat", "ends before it begins"),
    ],
)
def test_what_is_wrong_with_a_text_stands_beside_its_field(
    meadow: World, changes: dict[str, str], field: str, said: str
) -> None:
    found = errors(add(sign_in(meadow, Role.MARKETER), "campaign", content(**changes)))
    assert list(found) == [field] and said in found[field]
    assert not Campaign.objects.filter(name="Autumn").exists()


@pytest.mark.parametrize("field", ["segment", "category"])
def test_a_campaign_takes_no_segment_or_category_of_another_application(
    meadow: World, harbour: World, field: str
) -> None:
    theirs = harbour.of({"segment": Segment, "category": Category}[field])
    found = errors(add(sign_in(meadow, Role.MARKETER), "campaign", content(**{field: theirs.pk})))
    assert "valid choice" in found[field]


def test_somebody_of_both_applications_cannot_mix_them(meadow: World, harbour: World) -> None:
    from devices.models import Membership

    user = member("both", meadow.application, Role.MARKETER)
    Membership.objects.create(user=user, application=harbour.application, role=Role.MARKETER)
    client = Client()
    client.force_login(user)
    posted = content(application=meadow.application.pk, segment=harbour.of(Segment).pk)
    assert "belongs to another application" in errors(add(client, "campaign", posted))["segment"]


# -- approving and launching


def test_the_page_before_a_launch_says_whom_it_reaches_and_when(meadow: World) -> None:
    campaign, category = meadow.of(Campaign), meadow.of(Category)
    for number in range(12):
        person = Subscriber.objects.create(
            application=meadow.application, external_id=f"p{number}", locale="de", consent=number > 1
        )
        if number > 8:
            Preference.objects.create(subscriber=person, category=category, allowed=False)
    page = look(sign_in(meadow, Role.APPROVER), "launch", campaign)
    assert "It reaches 7 people now: the segment “Meadow segment”, without 5 who do not want it." in page
    assert "It starts at once when it is launched." in page and "Launch to 7 people now" in page
    assert "The gate to FCM is shut" in page
    assert not Run.objects.filter(title=campaign.name).exists()


def test_the_page_before_a_launch_rehearses_it(meadow: World) -> None:
    campaign = meadow.of(Campaign)
    meadow.application.quiet_hours = "00:00-23:59"
    meadow.application.save()
    for number in range(3):
        Subscriber.objects.create(
            application=meadow.application,
            external_id=f"p{number}",
            locale="de",
            quiet_hours="off" if number else "",
        )
    Campaign.objects.update(rate=1, send_at=timezone.now().replace(hour=12) + timedelta(days=1))
    page = look(sign_in(meadow, Role.APPROVER), "launch", campaign)
    rows = re.findall(r"<tr><th scope=.row.>(\d+)</th>.*?<td>([^<]+)</td></tr>", page)
    assert ("2", "are told when it starts") in rows
    assert any(count == "1" and "has quiet hours" in words for count, words in rows)
    assert "2 of those have no device" in page and "It takes: 3 seconds." in page
    assert page.count("Meadow title</p>") == 3 and "p0 · de" in page


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"local_date": "2030-01-01"}, "local_date", "local time"),
        ({"ramp": "5"}, "ramp", "rate"),
        ({"critical_override": "on"}, "critical_override", "lane critical"),
        ({"jitter": "4000"}, "jitter", "3,600"),
        ({"local_time": "9 o'clock"}, "local_time", "Write a time as 18:00."),
        ({"window_start": "25:00"}, "window_start", "Write a time as 18:00."),
        ({"send_at_0": "tomorrow", "send_at_1": "09:00"}, "send_at", "Write a date as 2030-12-24."),
        ({"send_at_0": "2030-01-01", "send_at_1": "noon"}, "send_at", "Write a time as 18:00."),
        ({"ttl": "2"}, "ttl", "“2” is no time; write one as 30 minutes, 2 hours or 1 day."),
        ({"ttl": "0 days"}, "ttl", "At least a second."),
        ({"ttl": "29 days"}, "ttl", "At most 28 days."),
        ({"ttl": ""}, "ttl", "This field is required."),
    ],
)
def test_what_is_wrong_with_a_policy_stands_beside_its_field(
    meadow: World, changes: dict[str, str], field: str, said: str
) -> None:
    assert said in errors(add(sign_in(meadow, Role.MARKETER), "campaign", content(**changes)))[field]


def test_a_policy_is_composed_and_left_empty(meadow: World) -> None:
    client = sign_in(meadow, Role.MARKETER)
    add(client, "campaign", content(rate="", jitter="", when_capped=""))
    plain = Campaign.objects.get(name="Autumn")
    assert (plain.rate, plain.jitter, plain.when_capped) == (0, 0, "drop")
    add(client, "campaign", content(name="Slow", rate="60", rate_per="minute", local_time="09:00"))
    slow = Campaign.objects.get(name="Slow")
    assert (slow.rate, slow.rate_per, str(slow.local_time)) == (60, "minute", "09:00:00")


@pytest.mark.parametrize(
    ("written", "hour"),
    [("9am", "09:00:00"), ("6 PM", "18:00:00"), ("6:30 pm", "18:30:00"), ("18:30", "18:30:00")],
)
def test_a_time_may_be_written_by_a_clock_of_twelve_hours(meadow: World, written: str, hour: str) -> None:
    add(sign_in(meadow, Role.MARKETER), "campaign", content(local_time=written))
    assert str(Campaign.objects.get(name="Autumn").local_time) == hour


def test_a_time_to_live_is_written_and_read_as_people_say_it(meadow: World) -> None:
    client = sign_in(meadow, Role.MARKETER)
    assert 'name="ttl" value="1 day"' in client.get(reverse("admin:campaigns_campaign_add")).content.decode()
    add(client, "campaign", content(ttl="2 days 12 hours"))
    made = Campaign.objects.get(name="Autumn")
    assert made.ttl == 216_000
    page = client.get(reverse("admin:campaigns_campaign_change", args=[made.pk])).content.decode()
    assert 'value="2 days 12 hours"' in page
    reader = sign_in(meadow, Role.VIEWER)
    page = reader.get(reverse("admin:campaigns_campaign_change", args=[made.pk])).content.decode()
    assert "2 days 12 hours" in page and "216000" not in page


def test_an_approver_may_launch_what_overrides(meadow: World) -> None:
    campaign = meadow.of(Campaign)
    Category.objects.update(critical_overrides=True)
    Campaign.objects.update(lane="critical", critical_override=True)
    campaign.refresh_from_db()
    press(sign_in(meadow, Role.APPROVER), "launch", campaign)
    assert Run.objects.get(title=campaign.name).snapshot["policy"]["override"] is True


def test_an_opt_in_category_counts_only_those_who_asked(meadow: World) -> None:
    campaign = meadow.of(Campaign)
    Category.objects.update(opt_in=True)
    Campaign.objects.update(segment=None)
    Subscriber.objects.create(application=meadow.application, external_id="p1")
    assert "It reaches 1 people now" in look(sign_in(meadow, Role.APPROVER), "launch", campaign)


def test_an_approver_launches_and_the_run_stands_on_the_campaigns_page(meadow: World) -> None:
    client, campaign = sign_in(meadow, Role.APPROVER), meadow.of(Campaign)
    page = press(client, "launch", campaign).content.decode()
    run = Run.objects.get(title=campaign.name)
    assert campaign.state == "live" and run.application == meadow.application
    assert reverse("admin:delivery_run_change", args=[run.pk]) in page


def test_launching_twice_makes_one_run_and_says_why(meadow: World) -> None:
    client, campaign = sign_in(meadow, Role.APPROVER), meadow.of(Campaign)
    press(client, "launch", campaign)
    assert "This campaign is live" in press(client, "launch", campaign).content.decode()
    assert Run.objects.filter(title=campaign.name).count() == 1


def test_a_launch_at_a_time_waits_for_it_and_can_be_taken_back(meadow: World) -> None:
    client, campaign = sign_in(meadow, Role.APPROVER), meadow.of(Campaign)
    Campaign.objects.update(send_at=timezone.now() + timedelta(days=1))
    assert "Launch as planned" in look(client, "launch", campaign)
    press(client, "launch", campaign)
    assert campaign.versions.filter(launched_at=None, launch_at__isnull=False).count() == 1
    press(client, "unschedule", campaign)
    assert campaign.state == "approved" and not Run.objects.filter(title=campaign.name).exists()


def test_a_campaign_that_does_not_render_cannot_be_launched(meadow: World) -> None:
    client, campaign = sign_in(meadow, Role.APPROVER), meadow.of(Campaign)
    Campaign.objects.update(body="{{ x | shout }}")
    page = look(client, "launch", campaign)
    assert "unknown filter" in page and "Not yet" in page and "people now</button>" not in page
    press(client, "launch", campaign)
    assert campaign.state == "draft"


@pytest.mark.parametrize("button", ["launch", "approve", "end"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.MARKETER])
def test_who_may_not_approve_cannot_launch_either(meadow: World, role: Role, button: str) -> None:
    client, campaign = sign_in(meadow, role), meadow.of(Campaign)
    assert press(client, button, campaign).status_code == 403
    assert campaign.state == "draft"


def test_a_marketer_asks_for_approval_and_an_approver_gives_it(meadow: World) -> None:
    campaign = meadow.of(Campaign)
    press(sign_in(meadow, Role.MARKETER), "submit", campaign)
    assert campaign.state == "in_review"
    approver = sign_in(meadow, Role.APPROVER)
    assert "1 waiting for approval" in " ".join(approver.get(reverse("admin:index")).content.decode().split())
    press(approver, "approve", campaign)
    assert campaign.state == "approved"


def test_an_edit_of_what_is_approved_says_that_rules_go_on_without_it(meadow: World) -> None:
    editor, approver, campaign = (
        sign_in(meadow, Role.MARKETER),
        sign_in(meadow, Role.APPROVER),
        meadow.of(Campaign),
    )
    press(approver, "approve", campaign)
    address = reverse("admin:campaigns_campaign_change", args=[campaign.pk])
    versions = {"versions-TOTAL_FORMS": 0, "versions-INITIAL_FORMS": 0}
    page = editor.post(address, {**content(title="New words"), **versions}, follow=True)
    assert "Rules go on with the approved text" in page.content.decode()
    assert reverse("admin:campaigns_campaign_approve", args=[campaign.pk]) in look(
        approver, "preflight", campaign
    )
    press(approver, "approve", campaign)
    assert campaign.versions.first().snapshot["texts"]["en"]["title"] == "New words"


# -- events and rules


def rule(world: World, **changes: Any) -> dict[str, Any]:
    whole = {"name": "Shipped", "event_type": world.of(EventType).pk, "campaign": world.of(Campaign).pk}
    return {**whole, "recipients": "subject", "max_age": 60, "enabled": "on", **changes}


def test_a_rule_is_made(meadow: World) -> None:
    add(
        sign_in(meadow, Role.MARKETER),
        "rule",
        rule(meadow, condition="event.data.total > 100", platforms=["tv", "web"]),
    )
    made = Rule.objects.get(name="Shipped")
    assert made.platforms == ["web", "tv"] and made.application == meadow.application


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"condition": "event.data.total >"}, "condition", "line 1, column"),
        ({"recipients": "ids"}, "recipient_ids", "Say whom"),
        ({"recipients": "ids", "recipient_ids": "["}, "recipient_ids", "line 1, column"),
        ({"platforms": ["fridge"]}, "platforms", "fridge is not one of the available choices"),
    ],
)
def test_what_is_wrong_with_a_rule_stands_beside_its_field(
    meadow: World, changes: dict[str, Any], field: str, said: str
) -> None:
    found = errors(add(sign_in(meadow, Role.MARKETER), "rule", rule(meadow, **changes)))
    assert list(found) == [field] and said in found[field]


@pytest.mark.parametrize("model", [EventType, Campaign])
def test_a_rule_takes_nothing_of_another_application(meadow: World, harbour: World, model: type[Any]) -> None:
    field = {EventType: "event_type", Campaign: "campaign"}[model]
    found = errors(add(sign_in(meadow, Role.MARKETER), "rule", rule(meadow, **{field: harbour.of(model).pk})))
    assert "valid choice" in found[field]


def test_only_approvers_let_a_persons_event_reach_others(meadow: World) -> None:
    posted = rule(meadow, beyond_sender="on")
    add(sign_in(meadow, Role.MARKETER), "rule", posted)
    assert Rule.objects.get(name="Shipped").beyond_sender is False
    add(sign_in(meadow, Role.APPROVER), "rule", {**posted, "name": "Wide"})
    assert Rule.objects.get(name="Wide").beyond_sender is True


def test_a_change_of_a_rule_is_a_new_version(meadow: World) -> None:
    made = meadow.of(Rule)
    address = reverse("admin:campaigns_rule_change", args=[made.pk])
    sign_in(meadow, Role.MARKETER).post(address, rule(meadow, condition="event.data.total > 1"))
    made.refresh_from_db()
    assert made.version == 2


def test_a_schema_that_is_none_is_refused_with_its_place(meadow: World) -> None:
    posted = {"name": "x", "lane": "bulk", "senders": ["keys"], "schema": '{"type": "objekt"}'}
    assert "at type" in errors(add(sign_in(meadow, Role.MARKETER), "eventtype", posted))["schema"]


def test_an_event_type_says_who_may_send_it(meadow: World) -> None:
    posted = {"name": "com.x", "lane": "bulk", "senders": ["clock", "keys"], "schema": "null"}
    add(sign_in(meadow, Role.MARKETER), "eventtype", posted)
    assert EventType.objects.get(name="com.x").senders == ["keys", "clock"]


def test_a_crontab_that_cannot_be_read_is_refused_beside_the_field(meadow: World) -> None:
    posted = {
        "name": "s",
        "event_type": meadow.of(EventType).pk,
        "crontab": "61 * * * *",
        "time_zone": "UTC",
        "data": "{}",
    }
    assert list(errors(add(sign_in(meadow, Role.MARKETER), "schedule", posted))) == ["crontab"]
    assert Schedule.objects.count() == 1


def test_an_event_says_why_in_the_language_of_whoever_looks(meadow: World) -> None:
    Decision.objects.update(reason="too_old", detail="7200 s old, 3600 s are allowed")
    address = reverse("admin:campaigns_event_change", args=[meadow.of(Event).pk])
    marketer = sign_in(meadow, Role.MARKETER)
    for language, told in (
        ("en", "The event was older than the rule allows. (7,200 s old, 3,600 s are allowed)"),
        ("de", "Das Ereignis war älter, als die Regel erlaubt. (7.200 s alt, erlaubt sind 3.600 s)"),
    ):
        page = marketer.get(address, headers={"accept-language": language}).content.decode()
        assert told in page and "too_old" not in page


def test_an_event_shows_what_was_decided_and_cannot_be_changed(meadow: World) -> None:
    address = reverse("admin:campaigns_event_change", args=[meadow.of(Event).pk])
    owner = sign_in(meadow, Role.ADMINISTRATOR)
    page = owner.get(address).content.decode()
    assert "Meadow rule" in page and "Meadow run" in page
    assert "The rule forwarded the event to its campaign." in page
    assert owner.post(address, {"type": "x"}).status_code == 403
