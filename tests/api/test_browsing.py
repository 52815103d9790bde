"""The inbox as a person looks through it by the API: newest first, unread, archived, and what they want to hear of."""

import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from delivery import positions
from delivery.content import Content
from delivery.log import body as bodies
from delivery.log.store import NewEntry, log_store
from delivery.models import Run
from devices.models import Preference
from tests.api.test_problems import problem
from tests.api_world import Caller, World

pytestmark = pytest.mark.django_db(databases=["default", "log"])
Tell = Callable[..., list[UUID]]


@pytest.fixture
def tell(shop: World) -> Tell:
    def tell(*titles: str, ago: float = 100.0, platforms: tuple[str, ...] = ()) -> list[UUID]:
        made = []
        for number, title in enumerate(titles):
            identity = uuid4()
            at = time.time() - ago + number / 1000
            body = bodies.Body(Content(title=title), "", int(at * 1000), platforms=list(platforms))
            new = NewEntry(shop.subscriber.uid.bytes, identity.bytes, bodies.encode(body))
            log_store().append([new], run=shop.run.uid, stamp=at)
            made.append(identity)
        return made

    return tell


def titles(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [entry["title"] for entry in answer["entries"]]


def test_the_newest_come_first_a_page_at_a_time(shop: World, tell: Tell) -> None:
    tell(*(f"t{number}" for number in range(5)))
    app = shop.app()
    first = app("GET", "inbox/latest?limit=2").json()
    assert titles(first) == ["t4", "t3"] and (first["unread"], first["more_unread"]) == (5, False)
    second = app("GET", f"inbox/latest?limit=2&before={first['before']}").json()
    assert titles(second) == ["t2", "t1"] and second["unread"] is None
    last = app("GET", f"inbox/latest?limit=2&before={second['before']}").json()
    assert titles(last) == ["t0"] and last["before"] is None


def test_unread_is_exact_to_99(shop: World, tell: Tell) -> None:
    tell(*(f"t{number}" for number in range(99)))
    answer = shop.app()("GET", "inbox/latest?limit=1").json()
    assert (answer["unread"], answer["more_unread"]) == (99, False)
    tell("one more")
    answer = shop.app()("GET", "inbox/latest?limit=1").json()
    assert (answer["unread"], answer["more_unread"]) == (99, True)


def test_what_is_recalled_repeated_or_for_another_platform_is_not_there(shop: World, tell: Tell) -> None:
    (once,) = tell("here")
    body = bodies.encode(bodies.Body(Content(title="here"), "", 0))
    again = NewEntry(shop.subscriber.uid.bytes, once.bytes, body)
    log_store().append([again], run=shop.run.uid, stamp=time.time() - 50)
    tell("for phones", platforms=("ios",))
    answer = shop.app()("GET", "inbox/latest").json()
    assert (titles(answer), answer["unread"]) == (["here"], 1)
    shop.run.recalled_at = timezone.now()
    shop.run.save()
    answer = shop.app()("GET", "inbox/latest").json()
    assert (titles(answer), answer["unread"]) == ([], 0)


def test_what_is_archived_goes_from_the_list_and_comes_back_when_it_is_marked_otherwise(
    shop: World, tell: Tell
) -> None:
    old, new = tell("old", "new")
    app = shop.app()
    assert app("POST", "inbox/marks", {"state": "archived", "ids": [str(new)]}).json() == {
        "marked": [str(new)]
    }
    answer = app("GET", "inbox/latest").json()
    assert (titles(answer), answer["unread"]) == (["old"], 1)
    app("POST", "inbox/marks", {"state": "read", "ids": [str(new)]})
    app("POST", "inbox/marks", {"state": "unread", "ids": [str(old)]})
    answer = app("GET", "inbox/latest").json()
    assert [(entry["title"], entry["state"]) for entry in answer["entries"]] == [
        ("new", "read"),
        ("old", "unread"),
    ]


@pytest.mark.parametrize("kind", ["opened", "read"])
def test_a_receipt_that_comes_late_does_not_bring_back_what_was_archived(
    shop: World, tell: Tell, kind: str
) -> None:
    old, new = tell("old", "new")
    app = shop.app()
    app("POST", "inbox/marks", {"state": "archived", "ids": [str(new)]})
    sent = {"receipts": [{"kind": kind, "ids": [str(old), str(new)]}]}
    assert app("POST", "receipts", sent).status_code == 202
    answer = app("GET", "inbox/latest").json()
    assert [(entry["title"], entry["state"]) for entry in answer["entries"]] == [("old", "read")]


def test_all_that_is_unread_is_read_at_once(shop: World, tell: Tell) -> None:
    ids = tell("one", "two", "three")
    app = shop.app()
    app("POST", "inbox/marks", {"state": "archived", "ids": [str(ids[0])]})
    marked = app("POST", "inbox/marks", {"state": "read", "all": True}).json()["marked"]
    assert sorted(marked) == sorted(map(str, ids[1:]))
    assert app("GET", "inbox/latest").json()["unread"] == 0
    rows = log_store().receipts(shop.subscriber.uid, ids)
    assert {(row.notification, row.kind) for row in rows} == {(ids[1], "read"), (ids[2], "read")}
    assert app("POST", "inbox/marks", {"state": "read", "all": True}).json() == {"marked": []}


def test_a_device_that_missed_it_asks_what_became_of_notifications_and_their_runs(
    shop: World, bank: World, tell: Tell
) -> None:
    unread, read, archived = tell("one", "two", "three")
    app = shop.app()
    for state, identity in (("read", read), ("archived", archived)):
        app("POST", "inbox/marks", {"state": state, "ids": [str(identity)]})
    ids = "&".join(f"id={one}" for one in (unread, read, archived))
    states = {str(unread): "unread", str(read): "read", str(archived): "archived"}
    asked = f"inbox/marks?{ids}&run={shop.run.uid}&run={bank.run.uid}"
    assert app("GET", asked).json() == {"states": states, "recalled": []}
    Run.objects.filter(pk__in=[shop.run.pk, bank.run.pk]).update(recalled_at=timezone.now())
    assert app("GET", asked).json() == {"states": states, "recalled": [str(shop.run.uid)]}
    assert app("GET", f"inbox/marks?{ids}").json() == {"states": states, "recalled": []}
    # another application's person learns nothing of it
    assert set(bank.app()("GET", asked).json()["states"].values()) == {"unread"}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/id"),
        ("id=x", "/id/0"),
        (f"id={UUID(int=7)}&run=x", "/run/0"),
        ("&".join(f"id={UUID(int=number)}" for number in range(51)), "/id"),
    ],
)
def test_a_wrong_question_about_marks_is_refused_with_its_place(
    shop: World, query: str, pointer: str
) -> None:
    told = problem(shop.app()("GET", f"inbox/marks?{query}"), 400, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"state": "read"}, "/ids"),
        ({"state": "read", "ids": [str(uuid4())], "all": True}, "/ids"),
        ({"state": "read", "ids": []}, "/ids"),
        ({"state": "seen", "all": True}, "/state"),
        ({"state": "read", "ids": ["x"]}, "/ids/0"),
        ({"state": "read", "everything": True}, "/everything"),
    ],
)
def test_a_wrong_mark_is_refused_with_its_place(shop: World, body: object, pointer: str) -> None:
    told = problem(shop.app()("POST", "inbox/marks", body), 400, "invalid")
    assert pointer in [error["pointer"] for error in told["errors"]]


@pytest.mark.parametrize("query", ["before=xyz", "limit=0", "limit=51"])
def test_a_wrong_page_is_400(shop: World, query: str) -> None:
    problem(shop.app()("GET", f"inbox/latest?{query}"), 400, "invalid")


def test_a_person_chooses_on_their_own_device(shop: World, bank: World) -> None:
    app = shop.app()
    shown = app("GET", "preferences").json()
    assert shown["consent"] is True and [one["allowed"] for one in shown["categories"]] == [None]
    key = shown["categories"][0]["key"]
    changed = app("PATCH", "preferences", {"categories": {key: False}}).json()
    assert [one["allowed"] for one in changed["categories"]] == [False]
    assert Preference.objects.get().subscriber == shop.subscriber
    problem(app("PATCH", "preferences", {"categories": {bank.category.key: False}}), 400, "invalid")
    problem(shop.service("GET", "preferences"), 401, "not-authenticated")
    problem(Caller()("PATCH", "preferences", {"consent": False}), 401, "not-authenticated")


def test_a_person_chooses_quiet_hours_zone_and_language_on_their_own_device(shop: World) -> None:
    app = shop.app()
    before = app("GET", "preferences").json()
    assert (before["quiet_hours"], before["time_zone"], before["locale"]) == ("", "", "de")
    wanted = {"quiet_hours": "21:30-07:00", "time_zone": "Asia/Tokyo", "locale": "pt_BR"}
    changed = app("PATCH", "preferences", wanted).json()
    assert changed == {**before, **wanted, "locale": "pt-BR"} == app("GET", "preferences").json()
    shop.subscriber.refresh_from_db()
    person = shop.subscriber
    assert (person.quiet_hours, person.time_zone, person.locale) == ("21:30-07:00", "Asia/Tokyo", "pt-BR")
    app("PATCH", "preferences", {"quiet_hours": "off"})
    assert app("GET", "preferences").json() == {**changed, "quiet_hours": "off"}, "the others stay"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("quiet_hours", "22:00", "22:00-08:00"),
        ("quiet_hours", "08:00-08:00", "whole day"),
        ("time_zone", "Mars/Olympus", "IANA time zone"),
        ("locale", "klingon!", "language tag"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_at_its_place_and_nothing_is_changed(
    shop: World, field: str, value: str, said: str
) -> None:
    app = shop.app()
    before = app("GET", "preferences").json()
    wanted = {"consent": False, "categories": {before["categories"][0]["key"]: False}, field: value}
    told = problem(app("PATCH", "preferences", wanted), 400, "invalid")
    assert told["errors"][0]["pointer"] == f"/{field}" and said in told["errors"][0]["detail"]
    assert app("GET", "preferences").json() == before


def test_a_device_that_says_how_far_it_has_stored_goes_on_from_there(shop: World, tell: Tell) -> None:
    (identity,) = tell("t")
    app = shop.app()
    cursor = app("GET", "inbox").json()["cursor"]
    said = {"receipts": [{"kind": "acknowledged", "ids": [str(identity)]}], "cursor": cursor}
    assert app("POST", "receipts", said).status_code == 202
    shop.device.refresh_from_db()
    assert positions.decode(shop.device.acknowledged) == positions.decode(cursor)
    told = problem(app("POST", "receipts", {**said, "cursor": "x"}), 400, "invalid")
    assert told["errors"][0]["pointer"] == "/cursor"


def test_the_inbox_says_whose_reading_it_is(shop: World) -> None:
    assert shop.app()("GET", "inbox").json()["device"] == str(shop.device.uid)
