"""A campaign that an event starts: from the composer to the person who waits, and to those who do not any more."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import approval, delayed, engine, launching, planned, reasons, rulebook, triggering
from campaigns.admin.when import when_sentences
from campaigns.intake import Sender, accept
from campaigns.models import Campaign, Decision, Delayed, EventType, Rule
from delivery.draining import plan_one
from delivery.models import Page, Run, Stopped
from devices.models import ApiKey, Application, Role, Segment, Subscriber
from tests.admin_world import member
from tests.campaigns.test_admin import content, errors

pytestmark = pytest.mark.django_db(databases=["default", "log"])
Make = Callable[..., dict[str, Any]]
DAY = 86_400
PREVIEW = reverse("admin:campaigns_preview")


@pytest.fixture
def ordered(application: Application) -> EventType:
    return EventType.objects.create(application=application, name="com.shop.ordered", lane="high")


@pytest.fixture
def reminder(application: Application, shipped: EventType, ordered: EventType) -> Campaign:
    return Campaign.objects.create(
        application=application,
        name="Reminder",
        title="Order {{ event.data.order }}",
        event_type=shipped,
        event_condition="event.data.order > 5",
        event_delay=7_200,
        event_unless=ordered,
        event_once_days=7,
    )


@pytest.fixture
def send(application: Application, key: ApiKey, event: Make) -> Callable[..., str]:
    """Send an event and decide it; return what was decided first, and by which reason."""

    def send(id: str, **attributes: Any) -> str:
        rulebook.forget()
        accepted = accept(application, [event(id, **attributes)], Sender.key(key))
        engine.decide("high")
        return Decision.objects.get(event__uid=accepted.stored[0]).reason

    return send


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def editor(application: Application, role: Role = Role.ADMINISTRATOR) -> Client:
    client = Client()
    client.force_login(member(f"eva-{role}", application, role))
    return client


def test_from_launch_to_end_it_is_in_force(
    reminder: Campaign, send: Callable[..., str], anna: Subscriber, ben: Subscriber
) -> None:
    assert send("1") == reasons.NO_RULE
    version = launching.launch(reminder, by="test")
    assert not isinstance(version, Run) and version.launch_at is None and not Run.objects.exists()
    rule = Rule.objects.get(of_campaign=True)
    assert (rule.delay, rule.unless, rule.once_days, rule.lane) == (7_200, reminder.event_unless, 7, "bulk")
    assert send("2") == reasons.DELAYED
    assert send("3") == reasons.ENTERED_LATELY
    assert send("4", data={"order": 1}, subject="ben") == reasons.CONDITION_FALSE
    assert Delayed.objects.get().lane == "bulk"
    assert launching.end_finished() == 0
    assert triggering.waiting(reminder).people == 1
    launching.move(reminder, "end")
    assert send("5", subject="ben") == reasons.NO_RULE
    rulebook.forget()
    delayed.release(later(7_201))
    assert Delayed.objects.get().reason == reasons.CAMPAIGN_NOT_LIVE


def test_an_edit_of_what_is_live_holds_from_its_approval_on(
    reminder: Campaign, send: Callable[..., str], anna: Subscriber
) -> None:
    launching.launch(reminder, by="test")
    reminder.event_delay, reminder.event_unless, reminder.event_once_days = 0, None, 0
    reminder.save()
    assert send("1") == reasons.DELAYED
    launching.approve(reminder, by="test")
    assert send("2") == reasons.FORWARDED
    assert Rule.objects.get(of_campaign=True).version == 2


def test_its_segment_chooses_among_those_the_events_are_about(
    reminder: Campaign, send: Callable[..., str], anna: Subscriber, ben: Subscriber
) -> None:
    Subscriber.objects.filter(pk=anna.pk).update(attributes={"plan": "gold"})
    reminder.segment = Segment.objects.create(
        application=reminder.application, name="Gold", predicate={"attribute": "plan", "is": "gold"}
    )
    reminder.save()
    launching.launch(reminder, by="test")
    send("1")
    send("2", subject="ben")
    rulebook.forget()
    assert delayed.release(later(7_201)) == 2
    while plan_one("bulk"):
        pass
    assert list(Stopped.objects.values_list("subscriber_id", "reason")) == [(ben.pk, "not_in_audience")]


def test_an_approval_is_given_for_the_event_too(reminder: Campaign) -> None:
    before = approval.digest_of(reminder, launching.snapshot_of(reminder))
    for name, value in (("event_delay", 60), ("event_condition", "true"), ("event_once_days", 8)):
        changed = Campaign.objects.get(pk=reminder.pk)
        setattr(changed, name, value)
        assert approval.digest_of(changed, launching.snapshot_of(changed)) != before


def test_whose_event_comes_outside_the_window_waits_for_it(
    reminder: Campaign, send: Callable[..., str], anna: Subscriber, settings: Any
) -> None:
    settings.PAGE_PAUSE_MS = 0
    shut = later(7_200)
    reminder.event_delay, reminder.event_unless = 0, None
    reminder.window_start, reminder.window_end = shut.time(), (shut + timedelta(hours=1)).time()
    assert any(
        "waits until it is time" in one
        for one in when_sentences(reminder, launching.snapshot_of(reminder), "UTC")
    )
    launching.launch(reminder, by="test")
    assert send("1") == reasons.FORWARDED
    while plan_one(reminder.lane):
        pass
    [page] = Page.objects.filter(kind="slice")
    assert page.due_at == shut.replace(second=0, microsecond=0).timestamp()


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"repeat": "0 9 * * *"}, "repeat", "no time of its own"),
        ({"send_at": datetime(2099, 1, 1, tzinfo=UTC)}, "send_at", "no time of its own"),
        ({"event_type": None}, "event_type", "Choose the event"),
        ({"event_condition": "event.data.order >"}, "event_condition", "line 1"),
        ({"event_delay": 0}, "event_unless", "set a delay"),
        ({"event_unless": "same"}, "event_unless", "choose another"),
    ],
)
def test_what_does_not_go_together_is_refused(
    reminder: Campaign, changes: dict[str, Any], field: str, said: str
) -> None:
    for name, value in changes.items():
        setattr(reminder, name, reminder.event_type if value == "same" else value)
    with pytest.raises(launching.LaunchError, match=said) as refused:
        launching.launch(reminder, by="test")
    assert refused.value.field == field
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2 hours", 7_200), ("90 min", 5_400), ("1d 12h", 129_600), ("1 day and 1 second", 86_401), ("", 0)],
)
def test_a_delay_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert triggering.seconds_of(text) == seconds
    assert triggering.seconds_of(triggering.span(seconds)) == seconds


@pytest.mark.parametrize("text", ["soon", "2", "2 fortnights", "-1 hour", "2 hours ago"])
def test_what_is_no_delay_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        triggering.seconds_of(text)


def test_the_composer_keeps_it_and_says_when(
    application: Application, shipped: EventType, ordered: EventType
) -> None:
    client = editor(application)
    fields = {
        "event_type": str(shipped.pk),
        "event_condition": "event.data.order > 5",
        "event_delay": "2 hours",
        "event_unless": str(ordered.pk),
        "event_once_days": "7",
    }
    wrong = client.post("/admin/campaigns/campaign/add/", content(**{**fields, "event_delay": "soon"}))
    assert "write one as 30 minutes" in errors(wrong)["event_delay"]
    client.post("/admin/campaigns/campaign/add/", content(**fields))
    made = Campaign.objects.get(name="Autumn")
    assert (made.event_type, made.event_unless, made.event_delay, made.event_once_days) == (
        shipped,
        ordered,
        7_200,
        7,
    )
    assert (
        'value="2 hours"'
        in client.get(reverse("admin:campaigns_campaign_change", args=[made.pk])).content.decode()
    )
    said = " ".join(client.post(PREVIEW, {**content(**fields), "campaign": made.pk}).json()["when"])
    for part in (
        "2 hours after an event “com.shop.shipped” that meets",
        "com.shop.ordered",
        "once in 7 days",
    ):
        assert part in said
    page = client.get(reverse("admin:campaigns_campaign_preflight", args=[made.pk])).content.decode()
    assert "Put in force" in page and "Tell 1 % first" not in page
    launched = client.post(reverse("admin:campaigns_campaign_launch", args=[made.pk]), follow=True)
    assert "In force: from now on whom the event" in launched.content.decode()
    rule = Rule.objects.get(of_campaign=True)
    assert (
        client.post(reverse("admin:campaigns_rule_change", args=[rule.pk]), {"name": "x"}).status_code == 403
    )


def test_fields_that_no_event_has_are_questioned(
    application: Application, shipped: EventType, send: Callable[..., str], anna: Subscriber
) -> None:
    send("1")
    shipped.schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    shipped.save()
    assert triggering.fields_of(shipped) == ["event.data.total", "event.data.order"]
    client = editor(application)

    def about(condition: str) -> list[str]:
        posted = content(event_type=str(shipped.pk), event_condition=condition)
        problems = client.post(PREVIEW, posted).json()["problems"]
        return [one["text"] for one in problems if one["field"] == "event_condition"]

    assert about("event.data.totl > 5") == ["`event.data.totl`: did you mean `event.data.total`?"]
    assert about("event.data.order == 7") == []
    assert about("") == ["It has: event.data.total, event.data.order."]


def test_who_waits_stands_in_the_calendar_and_on_the_why_page(
    reminder: Campaign, send: Callable[..., str], anna: Subscriber, ben: Subscriber
) -> None:
    launching.launch(reminder, by="test")
    send("1")
    send("2", subject="ben")
    due = Delayed.objects.order_by("due_at").first()
    assert due is not None
    day = datetime.fromtimestamp(due.due_at, UTC).date()
    found = planned.plans(reminder.application, first=day, last=day + timedelta(days=1), zone="UTC")
    assert [plan.kind for plan in found] == ["event"] and found[0].people == 2
    client = editor(reminder.application, Role.VIEWER)
    assert (
        "2 people after an event"
        in client.get(reverse("admin:campaigns_calendar"), {"month": f"{day:%Y-%m}"}).content.decode()
    )
    page = client.get(reverse("admin:campaigns_why"), {"subscriber": "anna"}).content.decode()
    assert "Waits after an event" in page and "unless “com.shop.ordered” comes before" in page
    asked = {"subscriber": "anna", "campaign": str(reminder.pk)}
    page = client.get(reverse("admin:campaigns_why"), asked).content.decode()
    assert "The rule waits before it tells anybody." in page and "until 20" in page
