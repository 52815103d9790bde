"""What is told of actions on runs: once for each, to every web process, and at nobody's expense without Redis."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from channels.layers import channel_layers, get_channel_layer
from django.utils import timezone
from websockets.sync.client import ClientConnection, connect

from delivery import holds, news, presence, redis_client, runs
from delivery.models import Run
from tests.admin_world import World, build
from tests.delivery.node.site import Site, WebProcess
from tests.servers.redis import Redis

WITHIN = 20.0


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged: `structlog`'s own capture misses loggers that have been used before."""
    return [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]


# -- what is told


@pytest.fixture
def heard(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, int]]]]:
    """What was told to the group since the last call."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    monkeypatch.setattr(redis_client, "_away_until", 0.0)
    monkeypatch.setattr(presence, "recall", lambda *_: None)
    channel_layers.backends.clear()
    layer: Any = get_channel_layer()
    channel = async_to_sync(layer.new_channel)()
    async_to_sync(layer.group_add)(news.GROUP, channel)

    def heard() -> list[dict[str, int]]:
        async_to_sync(layer.group_send)(news.GROUP, {"end": 1})
        found = []
        while (one := async_to_sync(layer.receive)(channel)) != {"end": 1}:
            found.append(one)
        return found

    yield heard
    channel_layers.backends.clear()


@pytest.fixture
def meadow(transactional_db: None) -> World:
    return build("Meadow")


@pytest.mark.django_db(transaction=True, databases=["default", "log"])
def test_each_action_on_a_run_is_told_once(heard: Callable[[], list[dict[str, int]]], meadow: World) -> None:
    run = meadow.of(Run)
    told = [{"run": run.pk}]
    runs.pause(run)
    assert heard() == told
    runs.resume(run)
    assert heard() == told
    runs.halt(run, "wrong credentials")
    assert heard() == told
    with pytest.raises(runs.StateError):
        runs.pause(run)
    runs.halt(run, "again")
    assert heard() == []
    runs.recall(run)
    assert heard() == told
    assert Run.objects.get(pk=run.pk).state == Run.State.CANCELLED
    runs.recall(run)
    assert heard() == told  # it is over: the recall alone


@pytest.mark.django_db(transaction=True, databases=["default", "log"])
def test_stop_all_is_told_to_all_of_the_application(
    heard: Callable[[], list[dict[str, int]]], meadow: World
) -> None:
    application = meadow.application
    holds.resume(application)  # the world holds something
    heard()
    holds.stop(application)
    holds.stop(application, lane="bulk")
    assert heard() == [{"application": application.pk}] * 2
    holds.stop(application)
    assert heard() == []
    holds.resume(application)  # both
    assert heard() == [{"application": application.pk}]


@pytest.mark.django_db(transaction=True, databases=["default", "log"])
def test_what_is_not_committed_is_not_told(heard: Callable[[], list[dict[str, int]]], meadow: World) -> None:
    from django.db import transaction

    with transaction.atomic():
        runs.pause(meadow.of(Run))
        assert heard() == []
        transaction.set_rollback(True)
    assert heard() == []


# -- without Redis


@pytest.fixture
def hung() -> Iterator[str]:
    """The address of a Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.mark.parametrize("away", ["hung", "gone"])
@pytest.mark.django_db(transaction=True, databases=["default", "log"])
def test_an_action_works_without_redis_and_that_is_logged_once(
    hung: str,
    away: str,
    settings: Any,
    meadow: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = hung if away == "hung" else "redis://127.0.0.1:1/0"
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [address]}}
    }
    monkeypatch.setattr(redis_client, "_away_until", 0.0)
    channel_layers.backends.clear()
    run = meadow.of(Run)
    # in a thread, so that an action that waits for ever is seen to
    acting = threading.Thread(target=lambda: (runs.pause(run), runs.resume(run)), daemon=True)
    acting.start()
    acting.join(WITHIN)
    assert not acting.is_alive()
    assert Run.objects.get(pk=run.pk).state == Run.State.RUNNING
    assert events(caplog) == ["redis.away"]
    channel_layers.backends.clear()


@pytest.mark.django_db(transaction=True, databases=["default", "log"])
def test_a_recall_works_without_redis(meadow: World, caplog: pytest.LogCaptureFixture) -> None:
    run = meadow.of(Run)
    runs.recall(run)
    assert Run.objects.get(pk=run.pk).recalled_at is not None
    assert "run.recall_not_told" in events(caplog)


@pytest.mark.django_db(databases=["default", "log"])
@pytest.mark.parametrize(("ago", "told"), [(1, 0), (10, 1), (3_000, 1), (4_000, 0)])
def test_a_recall_that_could_not_be_told_is_told_by_the_clock_once(
    meadow: World, monkeypatch: pytest.MonkeyPatch, ago: int, told: int
) -> None:
    run, heard = meadow.of(Run), list[Any]()
    runs.recall(run)  # Redis is away
    Run.objects.filter(pk=run.pk).update(recalled_at=timezone.now() - timedelta(seconds=ago))
    assert runs.tell_recalls() == 0
    monkeypatch.setattr("delivery.presence.recall", lambda application, uid: heard.append((application, uid)))
    assert [runs.tell_recalls(), runs.tell_recalls()] == [told, 0]
    assert heard == [(run.application.uid, run.uid)] * told


@pytest.mark.django_db(databases=["default", "log"])
def test_the_clock_waits_for_redis_once_however_many_recalls_are_untold(
    meadow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def away(application: Any, uid: Any) -> None:
        tried.append(uid)
        raise redis.ConnectionError("away")

    monkeypatch.setattr("delivery.presence.recall", away)
    run = meadow.of(Run)
    for number in range(3):
        Run.objects.create(
            application=run.application,
            origin=f"x{number}",
            title="x",
            kind=run.kind,
            lane=run.lane,
            snapshot=run.snapshot,
            recalled_at=timezone.now() - timedelta(seconds=10),
        )
    assert runs.tell_recalls() == 0
    assert len(tried) == 1


@pytest.mark.django_db(databases=["default", "log"])
def test_a_recall_that_was_told_is_not_told_again(meadow: World, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr("delivery.presence.recall", lambda application, uid: heard.append(uid))
    run = meadow.of(Run)
    runs.recall(run)
    Run.objects.filter(pk=run.pk).update(recalled_at=timezone.now() - timedelta(seconds=10))
    assert runs.tell_recalls() == 0
    assert heard == [run.uid]


@pytest.mark.server
def test_who_listens_hears_again_after_redis_forgot_and_logs_its_absence_once(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(news, "AGAIN", 0.05)
    monkeypatch.setattr(news, "JOIN_EVERY", 0.2)
    with Redis(tmp_path) as server:
        host = {"address": server.url, "socket_timeout": 10.0}
        settings.CHANNEL_LAYERS = {
            "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [host]}}
        }
        channel_layers.backends.clear()
        heard: asyncio.Queue[dict[str, int]]

        async def tell_until_heard(run: int) -> None:
            async with asyncio.timeout(WITHIN):
                while True:
                    try:
                        await news._send({"run": run})
                        if await asyncio.wait_for(heard.get(), 0.2) == {"run": run}:
                            return
                    except (TimeoutError, redis.RedisError):
                        continue

        async def scene() -> None:
            nonlocal heard
            heard = asyncio.Queue()
            listening = asyncio.create_task(news.listen(heard.put_nowait))
            await tell_until_heard(1)
            with redis.Redis.from_url(server.url) as client:
                client.flushall()  # the connection stays, the group is gone
            await tell_until_heard(2)
            await asyncio.to_thread(server.kill)
            async with asyncio.timeout(WITHIN):
                while not events(caplog):
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(server.start)
            await tell_until_heard(3)
            assert not listening.done()
            listening.cancel()
            await asyncio.wait([listening])

        with ThreadPoolExecutor(1) as pool:  # this thread may have a loop, that of the browser's driver
            pool.submit(asyncio.run, scene()).result()
    assert events(caplog) == ["news.away"]
    channel_layers.backends.clear()


# -- the pages of two web processes, an action in a third


def page(web: WebProcess, cookie: str, run: int) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{web.port}/ws/admin/runs/{run}/?language=en",
        origin=f"http://127.0.0.1:{web.port}",  # type: ignore[arg-type]
        additional_headers={"Cookie": cookie.split(";")[0]},
        compression=None,
        proxy=None,
    )


def until(viewer: ClientConnection, what: str) -> None:
    """Return when the viewer is shown a page with this in it."""
    by = time.monotonic() + WITHIN
    while what not in json.loads(viewer.recv(timeout=by - time.monotonic())).get("html", ""):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.mark.server
def test_an_action_in_another_process_is_on_every_page_at_once(site: Site) -> None:
    run, other = site.ask("run"), site.ask("run")
    cookie = site.ask("viewer")
    webs = [site.web(server, module="tests.delivery.slow_pages") for server in ("daphne", "uvicorn")]
    viewers = [page(web, cookie, run) for web in webs]
    with viewers[0], viewers[1], page(webs[0], cookie, other) as elsewhere:
        with redis.Redis.from_url(site.redis.url) as client:
            by = time.monotonic() + WITHIN
            while client.zcard(f"nh:layer:group:{news.GROUP}") < len(webs):
                assert time.monotonic() < by, "a web process does not listen"
                time.sleep(0.02)
        for viewer in (*viewers, elsewhere):
            until(viewer, 'data-state="running"')  # the look of this hour
        for action, state in (("pause", "paused"), ("resume", "running"), ("recall", "recalled")):
            site.ask("act", run=run, action=action)
            for viewer in viewers:
                until(viewer, f'data-state="{state}"')
        site.ask("stop")
        until(elsewhere, "a fault")  # its own run had no news until then
