"""Stories told as a marketer lives them: one that repeats, a mistake that the check finds, experiments."""

import json
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from tests.browser.admin_hub import PEOPLE, SUBSCRIBERS, AdminHub, WithAdmin
from tests.browser.album import Album
from tests.browser.test_first_campaign import drawn, sign_in, sign_out, write

pytestmark = pytest.mark.server
expect.set_options(timeout=20_000)  # the machine may be busy

BERLIN = ZoneInfo("Europe/Berlin")
CROWD = 900
"""Among so many a difference between two variants is evidence."""
EXPERIMENT = f"""
from campaigns.models import EventType
from devices.models import Application, Device, Segment, Subscriber
shop = Application.objects.get(slug="shop")
crowd = Subscriber.objects.bulk_create(
    Subscriber(application=shop, external_id=f"c{{number}}", time_zone="Europe/Berlin", attributes={{"crowd": True}})
    for number in range({CROWD})
)
Device.objects.bulk_create(
    Device(application=shop, subscriber=person, platform="web", provider="socket") for person in crowd
)
Segment.objects.create(
    application=shop, name="The crowd", predicate={{"attribute": "crowd", "is": True}}
)
"""
OPENED = """
import time
from uuid import UUID
from delivery import experiments, receipts, snapshot
from delivery.log.store import log_store
from delivery.models import Run
from devices.models import Device
run = Run.objects.filter(title="Two ways", state="done").latest("created_at")
arm = experiments.arms(snapshot.from_json(run.snapshot).experiment)
devices = dict(Device.objects.filter(subscriber__external_id__startswith="c").values_list("subscriber__uid", "uid"))
opened = 0
for number, (subscriber, notification) in enumerate(sorted(log_store().identities(run.uid))):
    if subscriber in devices and number % 10 < {"A": 2, "B": 6}.get(arm(subscriber.bytes), 0):
        receipts.record(subscriber, devices[subscriber], [notification], "opened")
        opened += 1
print(opened)
"""


@pytest.fixture(scope="module")
def shop(admin_hub: AdminHub) -> AdminHub:
    """A hub with people in Berlin and in Tokyo."""
    admin_hub.python(SUBSCRIBERS)
    return admin_hub


def compose(page: Page, hub: WithAdmin, **texts: str) -> None:
    """Begin a campaign."""
    page.goto(f"{hub.base_url}/admin/campaigns/campaign/add/")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    for field, text in texts.items():
        write(page, field, text)


def tell_at(page: Page, at: datetime) -> None:
    """Have it repeat every day at a time of the clock in Berlin, which is everybody's own."""
    for field in ("repeat-at", "local_time"):
        page.locator(f"[name='{field}']").fill(f"{at:%H:%M}")
    drawn(page)
    expect(page.locator("[data-when-said]")).to_contain_text(f"Every day at {at:%H:%M} in Europe/Berlin")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("successfully")).to_be_visible()


def check(page: Page) -> None:
    page.get_by_role("link", name="Check and launch").first.click()
    expect(page.get_by_role("heading", name=re.compile("^Before the launch of"))).to_be_visible()


def approve(page: Page) -> None:
    page.get_by_role("button", name="Approve these numbers and this text").click()
    expect(page.get_by_text("it can be launched")).to_be_visible()
    check(page)


def open_campaign(page: Page, hub: WithAdmin, name: str) -> None:
    page.goto(f"{hub.base_url}/admin/campaigns/campaign/?q={name.replace(' ', '+')}")
    page.get_by_role("link", name=name).first.click()


def write_variants(page: Page, *titles: str) -> None:
    """Write the variants A, B and so on into the page of a new experiment."""
    for number, title in enumerate(titles):
        row = f"variants-{number}"
        if not page.locator(f"[name='{row}-key']").count():
            page.get_by_text("Add another Variant", exact=True).click()
        page.locator(f"[name='{row}-key']").fill("ABCDEF"[number])
        page.locator(f"[name='{row}-title']").fill(title)


def told(hub: AdminHub, title: str) -> list[str]:
    """Return whom the runs of a campaign told so far."""
    found = hub.python(
        "import json\n"
        "from delivery.models import Entry, Run\n"
        "from devices.models import Subscriber\n"
        f"runs = Run.objects.filter(title={title!r}).values_list('uid', flat=True)\n"
        "people = Entry.objects.using('log').filter(run__in=list(runs)).values_list('subscriber', flat=True)\n"
        "names = Subscriber.objects.filter(uid__in=list(people)).values_list('external_id', flat=True)\n"
        "print(json.dumps(sorted(names)))"
    )
    return list(json.loads(found))


def read(hub: AdminHub, title: str) -> list[str]:
    """Return the titles that the people whom a run told have read."""
    found = hub.python(
        "import json\n"
        "from delivery.log import body\n"
        "from delivery.models import Entry, Run\n"
        f"run = Run.objects.get(title={title!r})\n"
        "bodies = Entry.objects.using('log').filter(run=run.uid).values_list('body', flat=True)\n"
        "print(json.dumps(sorted({body.decode(bytes(one)).content.title for one in bodies})))"
    )
    return list(json.loads(found))


def test_one_that_repeats_at_everybodys_own_time_with_a_second_persons_approval(
    album: Album, shop: AdminHub
) -> None:
    page = album.page
    sign_in(page, shop, "eva")
    compose(page, shop, name="Good evening", title="Good evening, {{ first_name }}")
    page.locator("[name='repeat-kind']").select_option("daily")
    page.locator("[name='repeat-zone']").fill("Europe/Berlin")
    page.locator("[name='local_late']").select_option("tomorrow")
    tell_at(page, datetime.now(BERLIN).replace(hour=19, minute=0))
    fields = page.locator(".form-rows", has=page.locator("[name='repeat-kind']"))
    album.take_part("story-repeat-when", fields, page.locator("[data-when-said]"))
    save(page)
    check(page)
    page.locator("form[action*='submit'] button").click()
    expect(page.get_by_text("It waits for approval.")).to_be_visible()

    sign_out(page)
    sign_in(page, shop, "anton")
    open_campaign(page, shop, "Good evening")
    check(page)
    approve(page)

    # whoever wrote it has one more idea: what was approved is another text
    sign_out(page)
    sign_in(page, shop, "eva")
    open_campaign(page, shop, "Good evening")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    write(page, "title", "Good evening, {{ first_name }} 🌙")
    # two minutes are left to approve and launch it; in Tokyo that time of the day is hours ago, or hours ahead
    tell_at(page, datetime.now(BERLIN) + timedelta(seconds=180))
    save(page)
    check(page)
    expect(page.locator(".nh-void")).to_contain_text("the campaign was edited since")
    expect(page.get_by_text("Approvers and administrators launch.")).to_be_visible()
    album.take("story-repeat-void", axe=".nh-composer")

    sign_out(page)
    sign_in(page, shop, "anton")
    open_campaign(page, shop, "Good evening")
    check(page)
    expect(page.get_by_text("One approval is missing.")).to_be_visible()
    approve(page)
    page.get_by_role("button", name="Launch as planned").click()
    expect(page.get_by_text("Planned: it starts at")).to_be_visible()

    # the clock brings it out: those in Berlin now, those in Tokyo when it is that time with them
    shop.wait_for("Run.objects.filter(title='Good evening').exists()", seconds=220)
    shop.wait_for(f"Entry.objects.using('log').count() >= {PEOPLE // 2}")
    assert told(shop, "Good evening") == sorted(f"p{number}" for number in range(0, PEOPLE, 2))
    open_campaign(page, shop, "Good evening")
    page.locator("a[href*='/admin/delivery/run/'][href$='/change/']").first.click()
    expect(page.get_by_text(f"{PEOPLE // 2} more are put off until later.")).to_be_visible()
    album.take("story-repeat-run")


def test_a_mistake_that_the_check_finds(album: Album, shop: AdminHub) -> None:
    page = album.page
    sign_in(page, shop, "eva")
    compose(
        page,
        shop,
        name="Oops",
        title="Hi {{ first_nam }}",
        body="<b>Only today</b>",
        link="http://shop.example",
    )
    write(page, "ttl", "1 minute")
    save(page)
    check(page)
    warnings = page.locator("li", has_text="first_nam")
    expect(warnings.first).to_contain_text("did you mean `first_name`?")
    for said in ("60 seconds after it begins", "HTML"):
        expect(page.locator("li", has_text=said).first).to_be_visible()
    album.take("story-mistake", axe=".nh-composer")
    warnings.first.get_by_role("link", name="Change it").click()
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    write(page, "title", "Hi {{ first_name }}")
    write(page, "body", "Only today")
    write(page, "ttl", "1 day")
    save(page)
    check(page)
    for said in ("did you mean", "60 seconds after it begins", "HTML"):
        expect(page.locator("li", has_text=said)).to_have_count(0)
    expect(page.get_by_text("Hi Ada").first).to_be_visible()


def test_an_experiment_to_its_winner(album: Album, shop: AdminHub) -> None:
    shop.python(EXPERIMENT)
    page = album.page
    sign_in(page, shop, "eva")
    compose(page, shop, name="Two ways", title="The sale has begun")
    page.locator("[name='segment']").select_option(label="The crowd")
    save(page)
    page.get_by_role("link", name="Try variants, set a goal").click()
    page.locator("[name='control']").fill("10")
    write_variants(page, "The sale has begun", "20% off, for you")
    # the second of them in German too
    page.get_by_role("button", name="Add a language").last.click()
    page.locator("[name='variants-1-locales-0-tag']").fill("de")
    page.locator("[name='variants-1-locales-0-title']").fill("20 % weniger, für dich")
    page.locator("[name='automatic']").check()
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("successfully")).to_be_visible()
    expect(page.locator("[name='variants-1-locales-0-title']")).to_have_value("20 % weniger, für dich")
    album.take("story-experiment-written")
    variants = page.locator("#variants-group")
    album.take_part("story-experiment-variants", variants, variants)

    sign_out(page)
    sign_in(page, shop, "anton")
    open_campaign(page, shop, "Two ways")
    check(page)
    approve(page)
    page.get_by_role("button", name=re.compile(r"^Launch to \d+ people now")).click()
    expect(page.get_by_text("Launched: it is on its way")).to_be_visible()
    shop.wait_for("Run.objects.filter(title='Two ways', state='done').exists()")

    # nobody has opened it yet: nothing is said
    page.get_by_role("link", name="The experiment").click()
    page.get_by_role("link", name="Choose the winner").click()
    expect(page.get_by_text("No winner yet").first).to_be_visible()
    album.take("story-experiment-no-evidence")

    # people open it, B's more than A's: the clock looks when the time has come, and later launches tell B
    opened = shop.python(OPENED)
    tallies = "Tally.objects.filter(kind='opened', run__title='Two ways', dimension='platform')"
    shop.wait_for(f"sum({tallies}.values_list('people', flat=True)) == {opened}")
    run = "Run.objects.filter(title='Two ways')"
    shop.python(
        "from datetime import timedelta\nfrom django.db.models import F\nfrom delivery.models import Run\n"
        f"{run}.update(created_at=F('created_at') - timedelta(hours=25))\n"
        # which the clock does every five minutes
        "from django.utils import timezone\nfrom campaigns import experimenting\n"
        "experimenting.decide_due(timezone.now())"
    )
    shop.wait_for("Experiment.objects.filter(campaign__name='Two ways', winner='B').exists()")
    open_campaign(page, shop, "Two ways")
    expect(page.get_by_text("Winner: B")).to_be_visible()
    page.get_by_role("link", name="The experiment").click()
    expect(page.get_by_text(re.compile("B wins: the .* interval of its difference"))).to_be_visible()
    album.take("story-experiment-winner")
    page.locator("a[href*='/report/']").first.click()
    expect(page.get_by_role("heading", name="Experiment")).to_be_visible()
    album.take("story-experiment-report")


def test_half_try_two_texts_and_the_others_are_told_the_winner(album: Album, shop: AdminHub) -> None:
    page = album.page
    sign_in(page, shop, "eva")
    compose(page, shop, name="Half first", title="New shoes")
    save(page)
    page.get_by_role("link", name="Try variants, set a goal").click()
    write_variants(page, "New shoes", "Shoes that fit")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("successfully")).to_be_visible()

    sign_out(page)
    sign_in(page, shop, "anton")
    open_campaign(page, shop, "Half first")
    check(page)
    approve(page)
    page.get_by_label("Tell some first").check()
    expect(page.get_by_text("To try the variants, take 20")).to_be_visible()
    page.get_by_label("Per cent told first").fill("50")
    page.get_by_role("button", name=re.compile(r"^Launch to \d+ people now")).click()
    expect(page.get_by_text("Launched to 50 % of its people first.")).to_be_visible()
    shop.wait_for("Run.objects.filter(title='Half first: first 50%', state='done').exists()")
    first = told(shop, "Half first: first 50%")
    check(page)
    expect(page.get_by_role("heading", name="The first 50 % have been told. Go on?")).to_be_visible()
    album.take("story-canary", axe=".nh-composer")
    page.get_by_role("link", name="Choose the winner").click()
    expect(page.get_by_text("when it goes on, the others are told the winner too")).to_be_visible()
    page.get_by_label("B", exact=True).check()
    page.get_by_role("button", name="Choose it").click()
    open_campaign(page, shop, "Half first")
    check(page)
    expect(page.get_by_text("The winner is B: the others are told that variant alone.")).to_be_visible()
    page.get_by_role("button", name="Go on: tell the others").click()
    expect(page.get_by_text("It goes on: the others are being told.")).to_be_visible()
    shop.wait_for("Run.objects.filter(title='Half first', state='done').exists()")
    rest = told(shop, "Half first")
    assert rest and not set(first) & set(rest)
    assert read(shop, "Half first") == ["Shoes that fit"]
