"""The live page of a run: who may watch it, what a viewer is sent, and what must be typed to stop a large run."""

import asyncio
import json
import time
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from delivery import ages, presence, runs
from delivery.admin import live, run_numbers
from delivery.models import Page, Parcel, Run, WorkState
from devices.models import Membership, Role
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


@pytest.fixture
def run(meadow: World) -> Run:
    return launched(meadow, people=40)


def launched(world: World, *, people: int) -> Run:
    """Return a run that has told so many people, with messages that wait."""
    made = Run.objects.create(
        application=world.application,
        origin="campaign:x:v1",
        title="Summer sale",
        kind=Run.Kind.AUDIENCE,
        lane="bulk",
        state=Run.State.RUNNING,
        snapshot=world.of(Run).snapshot,
    )
    now = time.time()
    work = {"run": made, "application": world.application, "lane": "bulk", "due_at": now, "created_at": now}
    page = Page.objects.create(
        **work,
        kind=Page.Kind.SHARD,
        state=WorkState.DONE,
        audience=people,
        logged=people,
        messages=people,
        spread={"locale": {"|de": people - 1, "|en": 1}, "platform": {"|android": people - 9, "|tv": 9}},
    )
    done = {**work, "page": page, "state": WorkState.DONE}
    Parcel.objects.create(**done, provider="fcm", size=10, sent=10, platforms={"android": {"sent": 10}})
    Parcel.objects.create(**work, page=page, state=WorkState.WAITING, provider="socket", size=people - 10)
    return made


def signed_in(world: World, role: Role) -> Client:
    client = Client()
    client.force_login(member(f"a-{role}", world.application, role))
    return client


def cookies(client: Client) -> str:
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


# -- who may watch


def test_a_member_may_watch_and_only_an_approver_has_buttons(meadow: World, run: Run) -> None:
    viewer = live.viewer_of(cookies(signed_in(meadow, Role.VIEWER)), run.pk, "de")
    approver = live.viewer_of(cookies(signed_in(meadow, Role.APPROVER)), run.pk, "")
    assert viewer is not None and not viewer.may_press
    assert (
        approver is not None
        and "pause" in approver.may_press
        and "retire_and_resume" not in approver.may_press
    )
    assert "run-button-recall" not in json.loads(live.look(viewer) or "")["html"]
    assert "run-button-recall" in json.loads(live.look(approver) or "")["html"]


def test_a_stranger_and_somebody_without_a_session_may_not_watch(meadow: World, run: Run) -> None:
    stranger = Client()
    stranger.force_login(build("Harbour").of(Membership).user)
    assert live.viewer_of(cookies(stranger), run.pk, "") is None
    assert live.viewer_of("", run.pk, "") is None
    assert live.viewer_of(f"{settings.SESSION_COOKIE_NAME}=made-up", run.pk, "") is None


def test_who_signs_out_or_is_no_member_any_more_may_watch_no_longer(meadow: World, run: Run) -> None:
    client = signed_in(meadow, Role.VIEWER)
    held = cookies(client)
    assert live.viewer_of(held, run.pk, "") is not None
    Membership.objects.filter(user__username="a-viewer").delete()
    assert live.viewer_of(held, run.pk, "") is None
    other = signed_in(meadow, Role.MARKETER)
    held = cookies(other)
    other.logout()
    assert live.viewer_of(held, run.pk, "") is None


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("https://localhost", "localhost", True),
        ("http://localhost:8001", "localhost:8000", False),
        ("http://evil.example", "localhost:8000", False),
        ("http://evil.example", "evil.example", False),
        ("null", "localhost:8000", False),
        ("", "localhost:8000", False),
        ("http://localhost:8000", "", False),
    ],
)
def test_only_a_page_of_this_hub_may_open_the_socket(origin: str, host: str, allowed: bool) -> None:
    assert live.same_origin({b"origin": origin, b"host": host}, secure=False) is allowed


@pytest.mark.parametrize(
    ("asked", "found"), [("de", "de"), ("de-at", "de"), ("xx", "en"), ("", "en"), ("../x", "en")]
)
def test_the_numbers_come_in_the_language_of_the_page(asked: str, found: str) -> None:
    assert live.language_of({"query_string": f"language={asked}".encode()}) == found


# -- what a viewer is sent


class Line:
    """A viewer's socket: what the server sends, and how it ends."""

    def __init__(self, *, cookie: str = "c", origin: str = "http://localhost") -> None:
        self.scope = {
            "url_route": {"kwargs": {"run": 7}},
            "headers": [
                (b"origin", origin.encode()),
                (b"host", b"localhost"),
                (b"cookie", cookie.encode()),
            ],
            "scheme": "ws",
        }
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> "Line":
        await self.said.put({"type": "websocket.connect"})
        self.task = asyncio.create_task(live.run_socket(self.scope, self.said.get, self.sent.put))
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.said.put({"type": "websocket.disconnect"})
        await asyncio.wait_for(self.task, 5)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), 5)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The frames that looking finds, the last again and again; each look is counted in `live.counted`."""
    frames = ["one", "one", "two"]
    counted: list[str] = []

    def look(shown: live.Shown) -> str:
        counted.append(frames[min(len(counted), len(frames) - 1)])
        return counted[-1]

    monkeypatch.setattr(live, "look", look)
    monkeypatch.setattr(live, "viewer_of", lambda *_: live.Shown(7, "en", False))
    monkeypatch.setattr(live, "EVERY", 0.01)
    return counted


def test_viewers_of_a_run_share_its_looks_and_hear_only_what_changed(looks: list[str]) -> None:
    async def scene() -> None:
        async with Line() as first, Line() as second:
            for line in (first, second):
                assert (await line.next())["type"] == "websocket.accept"
            heard = [(await first.next())["text"], (await first.next())["text"]]
            assert heard == ["one", "two"] and len(live._watches) == 1
            assert (await second.next())["text"] in ("one", "two")
        assert not live._watches and live._open == 0

    asyncio.run(scene())


@pytest.mark.parametrize("news", [{"run": 7}, {"application": 3}])
def test_what_is_told_of_a_run_or_its_application_has_it_looked_at_but_not_too_often(
    looks: list[str], monkeypatch: pytest.MonkeyPatch, news: dict[str, int]
) -> None:
    monkeypatch.setattr(live, "EVERY", 3_600.0)
    monkeypatch.setattr(live, "viewer_of", lambda *_: live.Shown(7, "en", frozenset(), "", 3))
    monkeypatch.setattr(live, "look", lambda _: looks.append("look") or str(len(looks)))
    turn = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds == live.LEAST:
            looks.append("least")
            seconds = 0.0
        await turn(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def scene() -> None:
        async with Line() as line:
            assert (await line.next())["type"] == "websocket.accept"
            await line.next()
            for _ in range(2):
                live._heard({"run": 8})
                live._heard({"application": 4})
                for _ in range(100):
                    live._heard(news)  # a burst is one look
                await line.next()
            async with asyncio.timeout(5):
                while looks[-1] != "least":
                    await turn(0)
        assert looks == ["look", "least"] * 3

    asyncio.run(scene())


def test_a_viewer_who_may_not_see_the_run_is_refused_before_the_socket_opens(
    looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(line: Line) -> None:
        async with line:
            assert await line.next() == {"type": "websocket.close", "code": live.REFUSED}

    asyncio.run(scene(Line(origin="http://evil.example")))
    monkeypatch.setattr(live, "viewer_of", lambda *_: None)
    asyncio.run(scene(Line()))
    monkeypatch.setattr(live, "MOST", 0)
    asyncio.run(scene(Line()))
    assert not looks


def test_a_viewer_who_is_no_member_any_more_is_closed(
    looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ASK_AGAIN", 0.05)

    async def scene() -> None:
        async with Line() as line:
            assert (await line.next())["type"] == "websocket.accept"
            monkeypatch.setattr(live, "viewer_of", lambda *_: None)
            while (found := await line.next())["type"] == "websocket.send":
                pass
            assert found == {"type": "websocket.close", "code": live.REFUSED}

    asyncio.run(scene())


def test_a_viewer_who_talks_is_closed(looks: list[str]) -> None:
    async def scene() -> None:
        async with Line() as line:
            for _ in range(live.SAID + 1):
                await line.said.put({"type": "websocket.receive", "text": "x"})
            while (found := await line.next())["type"] != "websocket.close":
                pass
            assert found["code"] == live.TOO_MANY

    asyncio.run(scene())


# -- what the page says


def test_the_numbers_say_what_became_of_each_platform_and_language(meadow: World, run: Run) -> None:
    page = signed_in(meadow, Role.VIEWER).get(reverse("admin:delivery_run_change", args=[run.pk]))
    platforms = {row["name"]: row for row in page.context["platforms"]}
    assert (
        platforms["Android"]["addressed"],
        platforms["Android"]["sent"],
        platforms["Android"]["open"],
    ) == (
        *(31, 10),
        21,
    )
    assert platforms["TV"]["open"] == 9
    assert page.context["languages"] == [("de", 39), ("en", 1)]
    assert page.context["done_percent"] == pytest.approx(25.0)


def test_rate_time_left_and_the_age_of_the_lane_stand_on_the_page(
    meadow: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lately(applications: list[int], *, now: float, hours: int) -> dict[str, ages.Histogram]:
        assert (applications, hours) == ([meadow.application.pk], 1)
        histogram = ages.Histogram(within=97)
        histogram.buckets[2] = 100
        return {run.lane: histogram}

    monkeypatch.setattr(ages, "lately", lately)
    monkeypatch.setattr(runs, "pace", lambda run, so_far: runs.Pace(1_500.0, 1.0, 600.0))
    page = signed_in(meadow, Role.VIEWER).get(reverse("admin:delivery_run_change", args=[run.pk]))
    said = " ".join(page.content.decode().split())
    assert "1,500 messages a second lately; about 10 min left" in said
    objective = ages.objective(run.lane)
    assert f"97.0 % of messages within {objective:,.0f} s. Half of them within 0.25 s." in said
    assert 'role="progressbar"' in said and 'aria-valuenow="25"' in said


def test_who_is_put_off_is_not_done() -> None:
    so_far = runs.Progress(
        audience=12,
        stopped={},
        logged=12,
        messages=12,
        outcomes={"stored": 12},
        reasons={},
        waiting=0,
        deferred=36,
        planned=False,
    )
    assert run_numbers.done_percent(so_far, runs.Pace(1.0, 1.0, None)) == 25.0


def test_a_small_run_is_recalled_without_words(
    meadow: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "recall", lambda *_: None)
    address = reverse("admin:delivery_run_recall", args=[run.pk])
    client = signed_in(meadow, Role.APPROVER)
    assert "confirm-words" not in client.get(address).content.decode()
    client.post(address)
    run.refresh_from_db()
    assert run.recalled_at is not None


@pytest.mark.parametrize("button", ["recall", "cancel"])
def test_a_large_run_is_stopped_for_good_only_with_its_name_typed(
    meadow: World, button: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "recall", lambda *_: None)
    run = launched(meadow, people=10_001)
    address = reverse(f"admin:delivery_run_{button}", args=[run.pk])
    client = signed_in(meadow, Role.APPROVER)
    for typed in ("", "Summer", "Winter sale"):
        answer = client.post(address, {"words": typed})
        run.refresh_from_db()
        assert run.state == Run.State.RUNNING, typed
        assert "nothing was done" in answer.content.decode()
    client.post(address, {"words": "  summer  SALE "})
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED


def test_a_page_of_a_run_takes_as_many_queries_for_a_large_one(
    meadow: World, run: Run, lasting: None, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(meadow, Role.VIEWER)
    now = time.time()
    work = {"run": run, "application": meadow.application, "lane": "bulk", "due_at": now, "created_at": now}
    address = reverse("admin:delivery_run_numbers", args=[run.pk])
    client.get(address)  # what is remembered
    with django_assert_max_num_queries(30) as few:
        client.get(address)
    page = Page.objects.filter(run=run).get()
    for number in range(20):
        done = {**work, "kind": Page.Kind.SHARD, "state": WorkState.DONE}
        Page.objects.create(**done, reasons={f"reason_{number}": 1})
        Parcel.objects.create(**work, page=page, provider="fcm", size=1, reasons={f"reason_{number}": 1})
    with django_assert_max_num_queries(30) as many:
        client.get(address)
    assert len(few) == len(many)
