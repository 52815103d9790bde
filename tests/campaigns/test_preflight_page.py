"""The page before a launch: what stands out, who approves, a test on real devices, and how often it may be pressed."""

import html
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from campaigns import launching, planned, preflight
from campaigns.models import Approval, Campaign, CampaignVersion, EventType, Experiment, Variant
from campaigns.models import TestDevice as NamedDevice  # pytest would take it for a test
from campaigns.timetable import shown
from delivery.models import Page, Parcel, Run
from devices.models import Application, Device, FactKind, Role, Segment, Subscriber
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    made = build("Meadow")
    Campaign.objects.update(segment=None, category=None, link="https://shop.example/", authors=["user:eva"])
    return made


def sign_in(world: World, name: str, role: Role) -> Client:
    client = Client()
    client.force_login(member(name, world.application, role))
    return client


def at(campaign: Campaign, name: str = "preflight") -> str:
    return reverse(f"admin:campaigns_campaign_{name}", args=[campaign.pk])


def look(client: Client, campaign: Campaign) -> str:
    return html.unescape(client.get(at(campaign)).content.decode())


def warnings(campaign: Campaign) -> str:
    campaign.refresh_from_db()
    return " | ".join(one.text for one in preflight.look(campaign).warnings)


def people(world: World, count: int, **values: Any) -> None:
    Subscriber.objects.bulk_create(
        Subscriber(application=world.application, external_id=f"p{number}", **values)
        for number in range(count)
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"title": "Hi {{ plam }}"}, "title: `plam`: did you mean `plan`?"),
        ({"title": "<i>Sale</i>"}, "title: “<i>” is shown as it stands"),
        ({"link": "http://shop.example/"}, "link: It is not https://"),
        ({"link": "htps://shop.example/"}, "link: “htps:” is no scheme that is known: did you mean https:?"),
        ({"link": "shop"}, "link: It has no scheme"),
        ({"locales": {"de": {"title": "Hallo"}}}, "de has no body: it is read in en."),
        ({"ttl": 28 * 86_400}, "Its time to live is 28 days"),
        ({"ttl": 60}, "It ends 60 seconds after it begins"),
        ({"send_at": datetime(2020, 1, 1, tzinfo=UTC)}, "The time to send is past"),
    ],
)
def test_what_stands_out_is_said(meadow: World, changes: dict[str, Any], said: str) -> None:
    campaign = meadow.of(Campaign)
    assert said not in warnings(campaign)
    Campaign.objects.update(**changes)
    assert said in warnings(campaign)


@pytest.mark.parametrize(
    ("link", "warned"),
    [("shop://offers", False), ("https://shop.example", False), ("/offers", False), ("spam://offers", True)],
)
def test_a_link_whose_scheme_the_application_does_not_name_is_said(
    meadow: World, link: str, warned: bool
) -> None:
    Campaign.objects.update(link=link)
    assert "link schemes" not in warnings(meadow.of(Campaign)), "it names none: any will do"
    Application.objects.update(link_schemes="shop shop-beta")
    said = "“spam:” is not among the application's link schemes: https, shop, shop-beta."
    assert (said in warnings(Campaign.objects.select_related("application").get())) is warned


def test_quiet_hours_that_hold_many_are_said(meadow: World) -> None:
    Application.objects.update(quiet_hours="00:00-23:59")
    at_noon = timezone.now().replace(hour=12) + timedelta(days=1)
    Campaign.objects.update(send_at=at_noon)
    people(meadow, 9, quiet_hours="off")
    Subscriber.objects.filter(external_id__in=["p0", "p1"]).update(quiet_hours="")
    assert "Quiet hours" not in warnings(meadow.of(Campaign)), "three of ten are held"
    Subscriber.objects.filter(external_id="p2").update(quiet_hours="")
    assert "Quiet hours hold 40% of the people" in warnings(meadow.of(Campaign))
    Subscriber.objects.update(quiet_hours="")
    assert "Quiet hours hold 100% of the people" in warnings(meadow.of(Campaign))


def test_languages_that_subscribers_read_and_nobody_wrote_are_said(meadow: World) -> None:
    people(meadow, 3, locale="ja-JP")
    assert "Subscribers who read ja get en." in warnings(meadow.of(Campaign))


def test_an_audience_three_times_the_usual_is_said(meadow: World) -> None:
    people(meadow, 39)
    assert "three times the usual" not in warnings(meadow.of(Campaign))
    for number in range(3):
        run = Run.objects.create(
            application=meadow.application,
            origin=f"campaign:x:v{number}",
            title="x",
            kind="audience",
            lane="bulk",
            snapshot={},
        )
        Page.objects.create(
            run=run,
            application=meadow.application,
            lane="bulk",
            kind="shard",
            audience=13,
            due_at=0,
            created_at=0,
        )
    assert "The audience of 40 people is more than three times the usual 13." in warnings(meadow.of(Campaign))
    Subscriber.objects.filter(external_id="p0").delete()
    assert "three times the usual" not in warnings(meadow.of(Campaign)), "39 are three times 13, and not more"


def test_what_a_segment_asks_of_days_that_nobody_counted_is_said(meadow: World) -> None:
    asked = {"opened": {"at_most": 0, "within_days": 30}}
    idle = Segment.objects.create(application=meadow.application, name="Idle", predicate=asked)
    campaign = meadow.of(Campaign)
    campaign.segment = idle
    campaign.save()
    assert "“Opened” in the last 30 days, which is counted since" in warnings(campaign)
    FactKind.objects.update(since=timezone.now() - timedelta(days=40))
    assert "which is counted since" not in warnings(campaign)


def test_a_provider_without_credentials_and_an_empty_audience_are_said(meadow: World) -> None:
    assert "1 messages go to FCM, for which there are no credentials yet" in warnings(meadow.of(Campaign))
    nobody = Segment.objects.create(
        application=meadow.application, name="nobody", predicate={"external_id": "nobody"}
    )
    Campaign.objects.update(segment=nobody)
    assert "Nobody is in its audience now." in warnings(meadow.of(Campaign))


def test_an_approver_signs_the_numbers_of_the_page(meadow: World) -> None:
    campaign, anton = meadow.of(Campaign), sign_in(meadow, "anton", Role.APPROVER)
    Application.objects.update(approval_from=0)
    page = anton.get(at(campaign))
    assert "needs one approval" in page.content.decode() and "Launch to" not in page.content.decode()
    anton.post(at(campaign, "approve"), {"seen": page.context["seen"]})
    kept = Approval.objects.get()
    assert kept.author == "user:anton" and kept.numbers["audience"] == 1
    assert kept.numbers["messages"] == {"fcm": 1} and kept.numbers["largest_bytes"]["fcm"] > 0
    assert "✓ user:anton" in look(anton, campaign) and "Launch to 1 person now" in look(anton, campaign)


def test_an_author_finds_no_button_and_is_told_why(meadow: World) -> None:
    campaign, eva = meadow.of(Campaign), sign_in(meadow, "eva", Role.APPROVER)
    Application.objects.update(approval_from=0)
    assert "Nobody approves their own" in look(eva, campaign)
    said = eva.post(at(campaign, "approve"), follow=True).content.decode()
    assert "Nobody approves their own" in said and not Approval.objects.exists()


@pytest.mark.parametrize("what", ["approve", "launch"])
def test_what_was_edited_while_somebody_looked_is_not_approved_or_launched(meadow: World, what: str) -> None:
    campaign, anton = meadow.of(Campaign), sign_in(meadow, "anton", Role.APPROVER)
    seen = anton.get(at(campaign)).context["seen"]
    Campaign.objects.update(title="Something else")
    said = anton.post(at(campaign, what), {"seen": seen}, follow=True).content.decode()
    assert "It was edited while you looked" in said
    assert not Approval.objects.exists() and Campaign.objects.get().state == "draft"
    seen = anton.get(at(campaign)).context["seen"]
    people(meadow, 5)
    said = anton.post(at(campaign, what), {"seen": seen}, follow=True).content.decode()
    assert "audience changed by more than a tenth" in said
    forged = seen[:-3] + "xyz"
    assert "too old" in anton.post(at(campaign, what), {"seen": forged}, follow=True).content.decode()


def test_launch_pressed_twice_tells_everybody_once(meadow: World) -> None:
    campaign, anton = meadow.of(Campaign), sign_in(meadow, "anton", Role.APPROVER)
    seen = anton.get(at(campaign)).context["seen"]
    for _ in range(2):
        anton.post(at(campaign, "launch"), {"seen": seen})
    assert Run.objects.filter(title=campaign.name).count() == 1 and CampaignVersion.objects.count() == 2


def test_a_canary_waits_on_the_page_and_goes_on(meadow: World) -> None:
    campaign, anton = meadow.of(Campaign), sign_in(meadow, "anton", Role.APPROVER)
    people(meadow, 300)
    anton.post(at(campaign, "launch"), {"canary": "1"})
    assert "The first 1 % have been told. Go on?" in look(anton, campaign)
    assert "An approver decides whether it goes on." in look(sign_in(meadow, "ed", Role.MARKETER), campaign)
    for name, said in (("go_on", "It goes on"), ("stop_canary", "somebody has decided already")):
        assert said in anton.post(at(campaign, name), follow=True).content.decode()
    assert Run.objects.filter(origin__startswith=f"campaign:{campaign.uid}").count() == 2


def test_a_fifth_may_be_told_first(meadow: World) -> None:
    campaign, anton = meadow.of(Campaign), sign_in(meadow, "anton", Role.APPROVER)
    Experiment.objects.all().delete()
    assert "1 finds mistakes before everybody has them." in look(anton, campaign)
    trial = Experiment.objects.create(application=meadow.application, campaign=campaign)
    for key in "AB":
        Variant.objects.create(experiment=trial, key=key, title=key)
    assert "To try the variants, take 20" in look(anton, campaign)
    said = anton.post(at(campaign, "launch"), {"canary": "1", "canary_share": " 20 "}, follow=True)
    assert "Launched to 20 % of its people first" in html.unescape(said.content.decode())
    assert CampaignVersion.objects.latest("pk").canary == 20
    choose = reverse("admin:campaigns_experiment_choose_winner", args=[trial.pk])
    page = look(anton, campaign)
    assert "The first 20 % have been told. Go on?" in page
    first = Run.objects.get(uid=launching.canary_uid(CampaignVersion.objects.latest("pk")))
    row = {"run": first, "page": first.pages.get(), "application": meadow.application, "lane": "bulk"}
    Parcel.objects.create(
        **row,
        provider="socket",
        state="done",
        stored=7,
        size=7,
        due_at=0,
        created_at=0,
        reasons={"offline": 7},
    )
    rows = re.findall(r'<th scope="row">(\d+)</th><td>([^<]+)</td>', look(anton, campaign))
    assert ("0", "failed") in rows
    assert ("7", "The device held no WebSocket; the message waits in its log.") in rows
    assert "choose the winner before you go on" in page and f'href="{choose}"' in page
    assert "Its canary waits: when it goes on, the others are told" in anton.get(choose).content.decode()
    anton.post(choose, {"confirmed": "1", "winner": "B"})
    assert "The winner is B: the others are told that variant alone." in look(anton, campaign)


@pytest.mark.parametrize("share", ["0", "51", "-1", "1.5", "", "x", "²", "9" * 5_000])
def test_a_share_that_is_none_is_said_beside_its_field_and_nobody_is_told(meadow: World, share: str) -> None:
    campaign, anton = meadow.of(Campaign), sign_in(meadow, "anton", Role.APPROVER)
    answer = anton.post(at(campaign, "launch"), {"canary": "1", "canary_share": share})
    page = html.unescape(answer.content.decode())
    [field] = re.findall(r'<input class="nh-number"[^>]*>', page)
    assert f'value="{share}"' in field and 'aria-invalid="true"' in field and "canary-error" in field
    assert 'name="canary" value="1" checked' in page
    assert "Write a whole number of per cent, from 1 to 50." in page
    assert not Run.objects.filter(title__startswith=campaign.name).exists()
    anton.post(at(campaign, "launch"), {"canary_share": share})  # not ticked: nobody asked for one
    assert CampaignVersion.objects.latest("pk").canary == 0


def test_a_test_goes_to_the_devices_that_were_named(meadow: World) -> None:
    campaign, eva = meadow.of(Campaign), sign_in(meadow, "ed", Role.MARKETER)
    tested = meadow.of(NamedDevice)
    said = eva.post(at(campaign, "test"), {"devices": [tested.pk]}, follow=True).content.decode()
    assert "A test is on its way to Meadow phone" in said
    run = Run.objects.get(origin=f"test:{campaign.uid}")
    assert run.kind == "direct" and run.snapshot["platforms"] == ["android"] and run.lane == "high"
    assert Campaign.objects.get().state == "draft"


def test_a_test_that_cannot_be_sent_says_why(meadow: World) -> None:
    campaign, eva = meadow.of(Campaign), sign_in(meadow, "ed", Role.MARKETER)
    other = build("Harbour").of(NamedDevice)
    for posted in ({}, {"devices": [other.pk]}):
        assert "Choose at least one" in eva.post(at(campaign, "test"), posted, follow=True).content.decode()
    Device.objects.update(state="retired")
    posted = {"devices": [meadow.of(NamedDevice).pk]}
    assert "is retired" in eva.post(at(campaign, "test"), posted, follow=True).content.decode()
    assert not Run.objects.filter(origin__startswith="test:").exists()


def test_a_viewer_sees_the_page_and_no_button(meadow: World) -> None:
    campaign, vera = meadow.of(Campaign), sign_in(meadow, "vera", Role.VIEWER)
    page = look(vera, campaign)
    assert "1 people" in page and "<form" not in page.split("nh-preflight")[1]
    for name in ("test", "approve", "launch", "go_on", "stop_canary"):
        assert vera.post(at(campaign, name)).status_code == 403, name


def cost(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def test_the_pages_cost_as_many_queries_with_many_of_everything(meadow: World) -> None:
    campaign, anton = meadow.of(Campaign), sign_in(meadow, "anton", Role.APPROVER)
    Campaign.objects.update(send_at=timezone.now() + timedelta(hours=1))
    pages = [
        at(campaign),
        at(campaign, "change"),
        reverse("admin:campaigns_campaign_add"),
        reverse("admin:campaigns_calendar"),
    ]
    more(meadow, 0, 150)
    for page in pages:
        anton.get(page)
    before = [cost(anton, page) for page in pages]
    more(meadow, 150, 300)
    assert [cost(anton, page) for page in pages] == before
    assert before[0] < 70 and max(before[1:]) < 38, before


def more(world: World, first: int, last: int) -> None:
    """Make people, and for every tenth a segment, a campaign that is planned and a test device."""
    for number in range(first, last):
        person = Subscriber.objects.create(
            application=world.application,
            external_id=f"m{number}",
            attributes={"first_name": "Ada"},
            locale="de",
        )
        if number % 10:
            continue
        segment = Segment.objects.create(
            application=world.application, name=f"s{number}", predicate={"external_id": f"m{number}"}
        )
        Campaign.objects.create(
            application=world.application,
            name=f"c{number}",
            title="x",
            segment=segment,
            send_at=timezone.now() + timedelta(hours=1),
        )
        device = Device.objects.create(
            application=world.application, subscriber=person, platform="web", provider="socket"
        )
        NamedDevice.objects.create(application=world.application, name=f"t{number}", device=device)


# -- the calendar


def test_the_calendar_shows_launches_drafts_and_recurring_times_with_who_hears_twice(meadow: World) -> None:
    people(meadow, 9)
    day = datetime(2031, 5, 6, 10, tzinfo=UTC)
    Campaign.objects.update(send_at=day)
    half = Segment.objects.create(
        application=meadow.application,
        name="half",
        predicate={"any": [{"external_id": f"p{n}"} for n in range(5)]},
    )
    Campaign.objects.create(
        application=meadow.application,
        name="Other",
        title="x",
        segment=half,
        send_at=day + timedelta(hours=2),
    )
    Campaign.objects.create(
        application=meadow.application, name="Weekly", title="x", repeat="0 9 * * tue", state="draft"
    )
    anton = sign_in(meadow, "anton", Role.APPROVER)
    anton.cookies["nh_zone"] = "Europe%2FBerlin"
    page = html.unescape(anton.get(reverse("admin:campaigns_calendar") + "?month=2031-05").content.decode())
    assert "May 2031" in page and "Meadow campaign" in page and "Other" in page
    assert "<strong>12:00</strong> Meadow campaign" in page  # the instant in Europe/Berlin
    assert page.count("</strong> Weekly") == 5  # the Tuesdays of the weeks that May touches
    assert "⚠ 50 % hear both “Meadow campaign” and “Other”" in page


def test_two_to_the_same_few_are_named_though_the_sample_holds_none_of_them(
    meadow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "SAMPLE", 3)
    people(meadow, 9)
    last = Subscriber.objects.filter(application=meadow.application).order_by("pk").last()
    assert last is not None
    few = Segment.objects.create(
        application=meadow.application, name="few", predicate={"external_id": last.external_id}
    )
    day = datetime(2031, 5, 6, 10, tzinfo=UTC)
    Campaign.objects.update(send_at=day, segment=few)
    Campaign.objects.create(application=meadow.application, name="Other", title="x", segment=few, send_at=day)
    page = sign_in(meadow, "anton", Role.APPROVER).get(reverse("admin:campaigns_calendar") + "?month=2031-05")
    said = html.unescape(page.content.decode())
    assert "⚠ < 1 % hear both “Meadow campaign” and “Other”" in said


def test_an_empty_calendar_says_what_to_do_and_odd_months_are_this_one(meadow: World) -> None:
    anton = sign_in(meadow, "anton", Role.APPROVER)
    for month in ("2031-06", "9999-99", "x", "0001-01"):
        assert (
            "Nothing is planned here"
            in anton.get(reverse("admin:campaigns_calendar") + f"?month={month}").content.decode()
        )


def test_a_calendar_holds_nothing_of_another_application(meadow: World) -> None:
    Campaign.objects.update(send_at=datetime(2031, 5, 6, 10, tzinfo=UTC))
    stranger = sign_in(build("Harbour"), "sam", Role.ADMINISTRATOR)
    address = reverse("admin:campaigns_calendar") + f"?month=2031-05&application={meadow.application.pk}"
    assert "Meadow" not in stranger.get(address).content.decode()


def test_a_window_too_short_for_the_rate_is_said_with_the_numbers(meadow: World) -> None:
    people(meadow, 200)
    opens = (timezone.now() + timedelta(hours=2)).replace(second=0, microsecond=0)
    hours = {"window_start": opens.time(), "window_end": (opens + timedelta(hours=1)).time()}
    Campaign.objects.update(**hours, rate=1, rate_per="minute", ttl=2 * 86_400)
    said = warnings(meadow.of(Campaign))
    fits = "At 1 a minute 60 people fit in the window, the audience is 201: the others are"
    assert f"{fits} told on the next days." in said
    assert f"Its window is shut when it would start: it starts at {shown(opens, 'UTC')}." in said
    Campaign.objects.update(ttl=3_600)
    assert f"{fits} not told, since its time to live is over before it opens again." in warnings(
        meadow.of(Campaign)
    )
    Campaign.objects.update(rate=100)
    assert "people fit in the window" not in warnings(meadow.of(Campaign))


def test_a_calendar_shows_a_launch_on_the_day_its_window_opens(meadow: World) -> None:
    Campaign.objects.update(
        send_at=datetime(2031, 5, 31, 21, tzinfo=UTC), window_start=time(18), window_end=time(20)
    )
    for month, days in ((date(2031, 5, 1), []), (date(2031, 6, 1), [date(2031, 6, 1)])):
        last = month + timedelta(days=29)
        found = planned.plans(meadow.application, first=month, last=last, zone="UTC")
        assert [one.day for one in found] == days
    Campaign.objects.update(send_at=None, repeat="0 21 * * *")
    found = planned.plans(meadow.application, first=date(2031, 6, 1), last=date(2031, 6, 2), zone="UTC")
    assert [f"{one.at:%d %H:%M}" for one in found] == ["01 18:00", "02 18:00"]


def test_a_best_hour_shows_how_many_people_each_hour_has(meadow: World) -> None:
    people(meadow, 3, best_hour=20)
    Campaign.objects.update(best_hour=9, segment=None)
    page = look(sign_in(meadow, "ida", Role.VIEWER), meadow.of(Campaign))
    assert "People by their best hour" in page and ">20:00<" in page and ">09:00<" in page
    assert "at the hour at which they open most, between 08:00 and 22:00" in page


def test_a_goal_without_a_control_group_is_said(meadow: World) -> None:
    said = "It has a goal and no control group"
    assert (
        Experiment.objects.filter(campaign=meadow.of(Campaign)).update(control=10, goal=meadow.of(EventType))
        == 1
    )
    assert said not in warnings(meadow.of(Campaign))
    Experiment.objects.update(control=0)
    assert said in warnings(meadow.of(Campaign))
    Experiment.objects.update(goal=None, metric="opened")
    compared = "It compares variants and has no control group"
    assert compared in warnings(meadow.of(Campaign)) and said not in warnings(meadow.of(Campaign))
    Experiment.objects.update(goal=meadow.of(EventType))
    page = look(sign_in(meadow, "ed", Role.MARKETER), meadow.of(Campaign))
    its = reverse("admin:campaigns_experiment_change", args=[Experiment.objects.get().pk])
    assert f'without it. <a class="nh-link" href="{its}">Change it</a>' in page


def test_a_campaign_to_many_without_a_control_group_is_noted_and_not_warned_of(
    meadow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, eva = meadow.of(Campaign), sign_in(meadow, "ed", Role.MARKETER)
    Experiment.objects.all().delete()
    said, add = "It has no control group: told to so many", f"/experiment/add/?campaign={campaign.pk}"
    monkeypatch.setattr(preflight, "WORTH_A_CONTROL", 10)
    people(meadow, 8)
    assert said not in look(eva, campaign)
    Subscriber.objects.create(application=meadow.application, external_id="tenth")
    page = look(eva, campaign)
    assert said in page and add in page and said not in warnings(campaign)
    Campaign.objects.update(transactional=True)
    assert said not in look(eva, campaign), "what people wait for is kept from nobody"
    Campaign.objects.update(transactional=False)
    Experiment.objects.create(application=meadow.application, campaign=campaign, control=10)
    assert said not in look(eva, campaign)


def test_a_link_to_the_preferences_needs_the_hubs_address(meadow: World, settings: Any) -> None:
    Campaign.objects.update(body="{{ preferences_url }}")
    settings.PUBLIC_URL = ""
    assert "body: `preferences_url` is empty: whoever runs" in warnings(meadow.of(Campaign))
    settings.PUBLIC_URL = "https://push.example"
    assert "preferences_url" not in warnings(meadow.of(Campaign))


def test_a_rate_says_when_the_last_are_told(meadow: World) -> None:
    people(meadow, 300)
    Campaign.objects.update(
        segment=None, rate=60, rate_per="minute", send_at=datetime(2099, 6, 1, 10, tzinfo=UTC)
    )
    page = look(sign_in(meadow, "ida", Role.VIEWER), meadow.of(Campaign))
    assert "At its rate the last of them are told at about Mon 1 Jun 2099, 10:0" in page
    Campaign.objects.update(rate=0)
    assert "At its rate" not in look(sign_in(meadow, "ivo", Role.VIEWER), meadow.of(Campaign))
