"""The composer in the admin: the preview, what a form keeps, two who edit at once, and pictures."""

import io
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image

from campaigns.models import Campaign
from devices import known_attributes, known_zones
from devices.models import Role, Segment, Subscriber
from tests.admin_world import World, build, member
from tests.campaigns.test_admin import add, content, errors

pytestmark = pytest.mark.django_db(databases=["default", "log"])

PREVIEW = "/admin/campaigns/campaign/preview/"


@pytest.fixture
def meadow() -> World:
    made = build("Meadow")
    Subscriber.objects.filter(application=made.application).update(
        attributes={"first_name": "Zoë", "address": {"city": "Bern"}}, locale="de-CH"
    )
    return made


def editor_of(world: World, name: str = "eva", role: Role = Role.MARKETER) -> Client:
    client = Client()
    client.force_login(member(name, world.application, role))
    return client


def shown(client: Client, **changes: Any) -> dict[str, Any]:
    response = client.post(PREVIEW, content(**changes))
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def seen(world: World, editor: str = "eva", **changes: Any) -> dict[str, Any]:
    """Return what a new marketer is shown."""
    return shown(editor_of(world, editor), **changes)


def screen(found: dict[str, Any], platform: str) -> dict[str, Any]:
    return next(one for one in found["screens"] if one["platform"] == platform)


def problems(found: dict[str, Any]) -> dict[str, str]:
    return {one["field"]: one["text"] for one in found["problems"]}


def change_of(campaign: Campaign) -> str:
    return reverse("admin:campaigns_campaign_change", args=[campaign.pk])


VERSIONS = {"versions-TOTAL_FORMS": 0, "versions-INITIAL_FORMS": 0}


# -- the preview


def test_a_real_subscriber_reads_what_is_written_now_and_nothing_is_stored(meadow: World) -> None:
    before = Campaign.objects.count()
    found = seen(meadow, title="Hi {{ first_name }}", body="News from {{ address.city }}")
    assert found["person"] == "Meadow-person"
    assert (screen(found, "android")["title"], screen(found, "ios")["body"]) == ("Hi Zoë", "News from Bern")
    assert Campaign.objects.count() == before


def test_somebody_at_random_is_somebody_whom_the_segment_chooses(meadow: World) -> None:
    Subscriber.objects.bulk_create(
        Subscriber(
            application=meadow.application,
            external_id=f"m{number}",
            attributes={"first_name": f"N{number}", "plan": "pro" if number in (3, 18) else "free"},
        )
        for number in range(30)
    )
    paying = Segment.objects.create(
        application=meadow.application, name="Paying", predicate={"attribute": "plan", "is": "pro"}
    )
    client, read = editor_of(meadow), set()
    for _ in range(40):
        found = shown(client, title="Hi {{ first_name }}", segment=paying.pk)
        read.add(found["person"])
        assert screen(found, "tv")["title"] == f"Hi N{found['person'][1:]}"
        if len(read) == 2:
            break
    assert read == {"m3", "m18"}


def test_every_platform_says_how_many_bytes_its_providers_take(meadow: World) -> None:
    found = seen(meadow, body="x" * 1_900 + "é" * 100)
    # the application has credentials for APNs alone
    (apns,) = screen(found, "ios")["weights"]
    assert apns["provider"] == "APNs" and apns["limit"] == 4_096 and 2_000 < apns["size"] < 4_096
    assert [one["provider"] for one in screen(found, "android")["weights"]] == ["FCM"]


def test_a_text_that_is_too_long_is_shown_cut_as_the_sender_cuts_it(meadow: World) -> None:
    found = seen(
        meadow,
        body="é" * 2_000,
        **{f"data-{n}-key": f"k{n}" for n in range(1)},
        **{"data-0-value": "d" * 1_900},
    )
    ios = screen(found, "ios")
    assert (
        ios["weights"][0]["outcome"] == "shortened"
        and ios["body"].endswith("é…")
        and len(ios["body"]) < 2_000
    )


def test_a_platforms_own_words_and_a_language_are_shown(meadow: World) -> None:
    found = seen(
        meadow,
        **{
            "tv__title": "On the TV",
            "locales-0-tag": "de",
            "locales-0-title": "Hallo",
            "buttons-0-label": "Kauf",
        },
    )
    assert found["locale"] == "de" and screen(found, "android")["title"] == "Hallo"
    assert screen(found, "tv")["title"] == "On the TV" and screen(found, "web")["buttons"] == ["Kauf"]
    assert found["missing"] == {"de": ["body"]}
    english = editor_of(meadow, "ed").post(PREVIEW, {**content(), "as_locale": "en", "locales-0-tag": "de"})
    assert english.json()["locale"] == "en"


def test_a_name_nobody_knows_stands_beside_its_field_with_what_was_meant(meadow: World) -> None:
    found = seen(
        meadow,
        title="Hi {{ first_nam }}",
        **{"locales-3-tag": "de", "locales-3-body": "{{ addres.city }}"},
    )
    assert problems(found) == {
        "title": "`first_nam`: did you mean `first_name`?",
        "locales-3-body": "`addres.city`: did you mean `address.city`?",
    }
    assert all(one["level"] == "warning" for one in found["problems"])


def test_what_cannot_be_rendered_is_named_with_its_line_and_the_rest_is_shown(meadow: World) -> None:
    found = seen(meadow, title="Still here", body="one\n{{ first_name | shout }}")
    assert [(one["field"], one["line"], one["level"]) for one in found["problems"]] == [("body", 2, "error")]
    assert (
        screen(found, "android")["title"] == "Still here"
        and "{{ first_name | shout }}" in screen(found, "android")["body"]
    )


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"link": "javascript:alert(1)"}, "link", "must not begin with javascript:"),
        ({"title": "<b>Sale</b>"}, "title", "notifications are plain text"),
        ({"link": "shop.example/sale"}, "link", "has no scheme"),
        ({"link": "http://shop.example/"}, "link", "not https://"),
        (
            {"body": "{% for i in (1..99999999) %}{% for j in (1..99999999) %}x{% endfor %}{% endfor %}"},
            "body",
            "limit",
        ),
        ({"repeat-kind": "weekly"}, "repeat", "at least one day"),
        ({"local_date": "2030-01-01"}, "local_date", "local time"),
    ],
)
def test_what_is_wrong_is_said_while_it_is_written(
    meadow: World, changes: dict[str, str], field: str, said: str
) -> None:
    found = seen(meadow, **changes)
    assert said in problems(found)[field] and found["screens"]


def test_what_is_wrong_for_one_person_is_said_in_the_editors_language(meadow: World) -> None:
    loop = "{% for i in (1..99999999) %}{% for j in (1..99999999) %}x{% endfor %}{% endfor %}"
    body = "{% if first_name == 'Zoë' %}" + loop + "{% endif %}"
    client = editor_of(meadow)
    said = [
        text for text in problems(shown(client, body=body)).values() if text.endswith("(for this person)")
    ]
    assert said
    client.cookies["django_language"] = "de"
    told = problems(shown(client, body=body)).values()
    assert any(text.endswith("(für diese Person)") for text in told)


def test_somebody_who_is_not_there_is_said_so(meadow: World) -> None:
    found = seen(meadow, as_person="Meadow-persno")
    assert found["person"] == "" and "Did you mean “Meadow-person”?" in found["whom"]


def test_the_preview_says_when_it_is_really_told(meadow: World) -> None:
    Subscriber.objects.update(time_zone="Asia/Tokyo")
    found = seen(
        meadow,
        send_at_0="2030-03-01",
        send_at_1="12:00:00",
        local_time="09:00",
        viewer_zone="Europe/Berlin",
    )
    assert "It starts for you at Fri 1 Mar 2030, 13:00 (Europe/Berlin)." in found["when"]
    assert any("Asia/Tokyo" in sentence for sentence in found["when"])


def test_what_waits_for_its_local_day_is_not_said_to_start_at_once(meadow: World) -> None:
    found = shown(editor_of(meadow), local_time="12:00", local_date="2030-12-24", viewer_zone="Europe/Berlin")
    assert not any("starts at once" in sentence for sentence in found["when"])
    assert any(sentence.startswith("It starts for you at Tue 24 Dec 2030") for sentence in found["when"])


def test_the_preview_names_the_window_and_what_is_wrong_with_it(meadow: World) -> None:
    at = {"send_at_0": "2030-03-01", "send_at_1": "21:00:00", "viewer_zone": "Europe/Berlin"}
    found = seen(meadow, window_start="18:00", window_end="20:00", **at)
    home = meadow.application.time_zone
    assert f"Its window is shut then; it opens at Sat 2 Mar 2030, 18:00 ({home})." in found["when"]
    assert "It starts for you at Sat 2 Mar 2030, 19:00 (Europe/Berlin)." in found["when"]
    assert any(f"outside 18:00 to 20:00 in {home}" in sentence for sentence in found["when"])
    found = seen(meadow, "tom", window_start="20:00", window_end="18:00", **at)
    assert "ends before it begins" in problems(found)["window_end"]


def test_the_preview_says_what_the_recipients_clocks_say(meadow: World) -> None:
    Subscriber.objects.update(time_zone="Asia/Tokyo")
    other = Subscriber.objects.create(
        application=meadow.application, external_id="la", time_zone="America/New_York"
    )
    at = {"send_at_0": "2030-03-01", "send_at_1": "12:00:00", "viewer_zone": "Europe/Berlin"}
    between = (
        "By the clocks of its recipients that is between Fri 1 Mar 2030, 07:00 (America/New_York) and Fri 1 Mar"
        " 2030, 21:00 (Asia/Tokyo)."
    )
    assert between in seen(meadow, **at)["when"]
    known_zones.forget()
    other.delete()
    found = seen(meadow, "tom", **at)["when"]
    assert not any("By the clocks" in sentence for sentence in found)


def test_only_members_may_look_and_only_at_their_own(meadow: World) -> None:
    harbour = build("Harbour")
    stranger = editor_of(harbour, "sam")
    theirs = {"campaign": meadow.of(Campaign).pk, **content()}
    assert stranger.post(PREVIEW, theirs).status_code == 404
    assert stranger.post(PREVIEW, {**content(), "application": meadow.application.pk}).status_code == 404
    assert stranger.post(PREVIEW, {**content(), "as_person": "Meadow-person"}).json()["person"] == ""
    assert Client().post(PREVIEW, content()).status_code == 302
    assert editor_of(meadow).get(PREVIEW).status_code == 405
    no_token = Client(enforce_csrf_checks=True)
    no_token.force_login(member("cora", meadow.application, Role.MARKETER))
    assert no_token.post(PREVIEW, content()).status_code == 403


def test_a_form_of_any_size_is_not_taken(meadow: World) -> None:
    assert editor_of(meadow).post(PREVIEW, content(body="x" * 200_000)).status_code == 413


def test_a_preview_costs_as_many_queries_with_many_subscribers_as_with_one(meadow: World) -> None:
    client, posted = editor_of(meadow), content(title="{{ first_name }}", local_time="09:00")

    def cost() -> int:
        known_attributes.forget()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.post(PREVIEW, posted).status_code == 200
        return len(queries)

    client.post(PREVIEW, posted)
    before = cost()
    Subscriber.objects.bulk_create(
        Subscriber(application=meadow.application, external_id=f"m{number}", attributes={f"a{number}": 1})
        for number in range(500)
    )
    assert cost() == before <= 20


# -- what a form keeps


def test_what_was_composed_is_what_a_campaign_keeps(meadow: World) -> None:
    posted = content(
        **{
            "badge": "3",
            "android_channel_id": "news",
            "ios_interruption_level": "time-sensitive",
            "web_require_interaction": "on",
            "buttons-0-label": "Buy",
            "buttons-0-link": "https://shop.example/",
            "data-7-key": "screen",
            "data-7-value": "offers",
            "tv__title": "On the TV",
            "locales-0-tag": "de",
            "locales-0-title": "Hallo",
            "android_options-0-key": "ticker",
            "android_options-0-value": "x",
            "tv__data-0-key": "a",
            "tv__data-0-value": "b",
            "repeat-kind": "weekdays",
            "repeat-at": "09:30",
            "repeat-zone": "Europe/Berlin",
            "repeat-until": "2099-12-31",
        }
    )
    client = editor_of(meadow)
    add(client, "campaign", posted)
    made = Campaign.objects.get(name="Autumn")
    assert made.android == {"ticker": "x", "channel_id": "news"}
    assert made.ios == {"interruption_level": "time-sensitive"} and made.badge == "3"
    assert made.web["require_interaction"] is True and made.web["actions"][0]["title"] == "Buy"
    assert made.data == {"screen": "offers"} and made.locales == {"de": {"title": "Hallo"}}
    assert made.overrides == {"tv": {"data": {"a": "b"}, "title": "On the TV"}}
    assert (made.repeat, made.repeat_zone) == ("30 9 * * mon-fri", "Europe/Berlin")
    assert f"{made.repeat_until:%Y-%m-%d %H:%M}" == "2099-12-31 23:00"
    page = client.get(change_of(made)).content.decode()
    for part in (
        'value="On the TV"',
        'value="Hallo"',
        'value="offers"',
        'value="2099-12-31"',
        'value="news"',
    ):
        assert part in page, part


def test_what_was_taken_out_is_gone_and_what_has_no_field_stays(meadow: World) -> None:
    made = meadow.of(Campaign)
    Campaign.objects.update(
        data={"a": "b"},
        locales={"de": {"title": "x", "sound": "ping.caf"}, "fr": {"title": "y"}},
        web={"icon": "https://x/i.png"},
    )
    posted = content(
        **{
            "locales-0-tag": "de",
            "locales-0-was": "de",
            "locales-0-title": "z",
            "data-rows": "1",
            "web_icon": "",
        }
    )
    editor_of(meadow).post(change_of(made), {**posted, **VERSIONS})
    made.refresh_from_db()
    assert (made.data, made.locales, made.web) == ({}, {"de": {"title": "z", "sound": "ping.caf"}}, {})


def test_the_variables_to_pick_are_those_of_real_subscribers(meadow: World) -> None:
    page = editor_of(meadow).get(reverse("admin:campaigns_campaign_add")).content.decode()
    for name in ("first_name", "address.city", "subscriber.locale"):
        assert f'data-insert="{name}"' in page
    Subscriber.objects.all().delete()
    known_attributes.forget()
    assert (
        "No subscriber has attributes yet"
        in editor_of(meadow, "ed").get(reverse("admin:campaigns_campaign_add")).content.decode()
    )


def test_what_is_wrong_in_one_form_is_not_said_in_another(meadow: World) -> None:
    wrong = {"tv__data-0-key": "a", "tv__data-0-value": "{{ x | shout }}"}
    client = editor_of(meadow)
    said = "unknown filter &#x27;shout&#x27;"
    assert said in add(client, "campaign", content(**wrong)).content.decode()
    right = {**wrong, "tv__data-0-value": "b", "ios__badge": "many"}
    assert said not in add(client, "campaign", content(**right)).content.decode()


def test_what_the_page_does_not_show_is_said_and_kept(meadow: World) -> None:
    made = meadow.of(Campaign)
    Campaign.objects.update(
        ios={"content_available": True, "url_args": ["a"]},
        web={"actions": [{"action": "buy", "title": "Buy", "icon": "/i.png"}]},
        overrides={"ios": {"badge": 3, "ios": {"badge": 4}}},
        locales={"de": {"title": "x", "sound": "ping.caf"}},
    )
    page = editor_of(meadow).get(change_of(made)).content.decode()
    for path in ("ios.url_args", "overrides.ios.ios.badge", "web.actions.0.icon", "locales.de.sound"):
        assert f"<code>{path}</code>" in page, path
    assert "<code>ios.content_available</code>" not in page
    assert 'name="ios_options-0-value" value="true"' in page
    assert not re.search(r"<textarea[^>]*>\s*[{\[]", page)
    posted = content(
        **{"buttons-0-label": "Buy now", "buttons-0-action": "buy", "buttons-0-was": "buy", "tv__badge": "1"}
    )
    editor_of(meadow, "ed").post(change_of(made), {**posted, **VERSIONS})
    made.refresh_from_db()
    assert made.ios == {"content_available": True, "url_args": ["a"]}
    assert made.web == {"actions": [{"action": "buy", "title": "Buy now", "icon": "/i.png"}]}
    assert made.overrides == {"ios": {"badge": 3, "ios": {"badge": 4}}, "tv": {"badge": "1"}}


def test_who_may_only_look_sees_what_differs_and_no_json(meadow: World) -> None:
    made = meadow.of(Campaign)
    Campaign.objects.update(
        data={"screen": "offers"},
        locales={"de": {"title": "Hallo"}},
        android={"ticker": "Tick"},
        overrides={
            "tv": {"title": "On the TV", "data": {"row": "7"}},
            "web": {"web": {"actions": [{"action": "buy", "title": "Buy"}]}},
        },
    )
    page = editor_of(meadow, "vi", Role.VIEWER).get(change_of(made)).content.decode()
    for text in ("On the TV", "row: 7", "screen: offers", "title: Hallo", "title: Buy", "ticker: Tick"):
        assert text in page, text
    assert "Tv title" not in page and "&quot;offers" not in page


def test_a_wrong_text_of_one_platform_takes_nothing_of_the_others_from_the_preview(meadow: World) -> None:
    found = seen(meadow, ios__badge="many", tv__title="On the TV", ios__title="Phone")
    assert "must be auto" in problems(found)["ios__badge"]
    assert (screen(found, "tv")["title"], screen(found, "ios")["title"]) == ("On the TV", "Phone")


def test_every_override_is_shown_while_it_is_written(meadow: World) -> None:
    found = seen(
        meadow,
        **{
            "badge": "2",
            "ios__badge": "7",
            "ios__sound": "ping.caf",
            "web__buttons-0-label": "Only here",
            "buttons-0-label": "Everywhere",
            "tv__link": "shop://tv",
            "data-0-key": "screen",
            "data-0-value": "offers",
            "tv__data-0-key": "row",
            "tv__data-0-value": "{{ first_name }}",
        },
    )
    ios, web, tv = (screen(found, name) for name in ("ios", "web", "tv"))
    assert (ios["badge"], ios["sound"], screen(found, "android")["badge"]) == (7, "ping.caf", 2)
    assert web["buttons"] == ["Only here"]
    assert tv["link"] == "shop://tv" and tv["data"] == {"screen": "offers", "row": "Zoë"}
    assert ios["data"] == {"screen": "offers"}


def test_beside_a_field_its_name_in_the_api_is_not_said(meadow: World) -> None:
    found = problems(shown(editor_of(meadow), image="http://x.example/a.png", badge="lots"))
    assert found["image"] == "must be an address that begins with https://."
    assert found["badge"].startswith("must be auto")


def test_a_delay_without_its_event_takes_nothing_else_from_the_preview(meadow: World) -> None:
    found = shown(editor_of(meadow), title="{{ first_nam }}", event_delay="2 hours", event_condition="true")
    assert "Choose the event that starts it" in problems(found)["event_type"]
    assert problems(found)["title"] == "`first_nam`: did you mean `first_name`?"
    assert screen(found, "tv")["body"]
    assert [one["field"] for one in found["problems"]].count("event_type") == 1


# -- two at once


def opened(client: Client, campaign: Campaign) -> dict[str, Any]:
    form = client.get(change_of(campaign)).context["adminform"].form
    return {**content(name=campaign.name), **VERSIONS, "base_revision": form.initial["base_revision"]}


def test_of_two_who_edit_the_second_is_told_who_and_what(meadow: World) -> None:
    campaign = meadow.of(Campaign)
    eva, otto = editor_of(meadow), editor_of(meadow, "otto")
    first, second = opened(eva, campaign), opened(otto, campaign)
    eva.post(change_of(campaign), {**first, "title": "Eva's words", "body": "Hello"})
    refused = otto.post(change_of(campaign), {**second, "title": "Otto's words", "body": "Hello"})
    said = errors(refused)["__all__"]
    assert "eva changed this campaign while you were editing" in said and "title: “Eva's words”" in said
    campaign.refresh_from_db()
    assert campaign.title == "Eva's words"
    assert "Otto&#x27;s words" in refused.content.decode()
    again = {
        **second,
        "title": "Both words",
        "base_revision": refused.context["adminform"].form.data["base_revision"],
    }
    otto.post(change_of(campaign), again)
    campaign.refresh_from_db()
    assert campaign.title == "Both words" and campaign.authors == ["user:eva", "user:otto"]


def test_an_edit_through_the_api_counts_too(meadow: World) -> None:
    campaign, eva = meadow.of(Campaign), editor_of(meadow)
    mine = opened(eva, campaign)
    from campaigns import editing

    campaign.title = "By a service"
    editing.note(campaign, "key:shop")
    campaign.save()
    assert "shop changed this campaign" in errors(eva.post(change_of(campaign), mine))["__all__"]


def test_what_one_does_alone_is_never_refused(meadow: World) -> None:
    campaign, eva = meadow.of(Campaign), editor_of(meadow)
    for title in ("One", "Two"):
        eva.post(change_of(campaign), {**opened(eva, campaign), "title": title})
        campaign.refresh_from_db()
        assert campaign.title == title


# -- pictures


def picture(size: tuple[int, int] = (2_000, 1_000)) -> SimpleUploadedFile:
    made = io.BytesIO()
    Image.new("RGB", size, "orange").save(made, "JPEG")
    return SimpleUploadedFile("../../etc/evil.svg", made.getvalue(), "image/svg+xml")


def test_an_uploaded_picture_is_kept_under_a_name_nobody_can_guess(
    meadow: World, settings: Any, tmp_path: Any
) -> None:
    settings.PUBLIC_URL, settings.MEDIA_ROOT = "https://hub.example", tmp_path
    add(editor_of(meadow), "campaign", content(picture=picture()))
    made = Campaign.objects.get(name="Autumn")
    assert made.image.startswith("https://hub.example/media/pictures/") and "evil" not in made.image
    response = Client().get(made.image.removeprefix("https://hub.example"))
    assert response.status_code == 200 and response["Content-Type"] == "image/jpeg"
    assert (
        response["X-Content-Type-Options"] == "nosniff" and "sandbox" in response["Content-Security-Policy"]
    )
    assert Image.open(io.BytesIO(b"".join(response.streaming_content))).size == (1_440, 720)


def test_a_picture_of_a_form_that_is_refused_is_not_kept(meadow: World, settings: Any, tmp_path: Any) -> None:
    settings.PUBLIC_URL, settings.MEDIA_ROOT = "https://hub.example", tmp_path
    found = errors(add(editor_of(meadow), "campaign", content(picture=picture(), title="{{ x")))
    assert list(found) == ["title"] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../secret_key", "..%2F..%2Fsecret_key", "x.svg", "a" * 22 + ".svg", ""])
def test_nothing_but_pictures_is_served(name: str) -> None:
    assert Client().get(f"/media/pictures/{name}").status_code == 404


def test_what_is_no_picture_is_refused_beside_the_field(meadow: World, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example"
    file = SimpleUploadedFile("x.png", b"<html>", "image/png")
    assert "no picture" in errors(add(editor_of(meadow), "campaign", content(picture=file)))["picture"]


def test_a_hub_without_https_says_why_it_takes_no_picture(meadow: World) -> None:
    found = errors(add(editor_of(meadow), "campaign", content(picture=picture())))
    assert "NOTIFYHUB_PUBLIC_URL" in found["picture"]
