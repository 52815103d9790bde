"""A badge that says how much its reader has not read: right for each, the same when a page is worked again."""

import time
from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from delivery import runs, unread
from delivery.content import Content
from delivery.log.store import log_store
from delivery.policy import Candidate
from delivery.positions import notification_id
from delivery.snapshot import Named, Text
from devices import people
from devices.models import Application
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]
AUTO = {"en": Text(title="News", badge="auto")}


def contents(provider: world.FakeSender) -> dict[str, Content]:
    """Return the last content that each token was sent."""
    return {
        message.token: envelope.contents[message.content]
        for envelope in provider.envelopes
        for message in envelope.messages
    }


def test_everybodys_badge_is_their_own(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    eva, _tom = world.people(app, 2, "fcm apns")
    first = world.launch(app, snapshot=world.snapshot(texts=AUTO))
    work_all()
    assert {one.badge for one in contents(provider).values()} == {1}
    log_store().mark(eva.uid, [notification_id(first.uid, eva.uid)], "read", time.time())
    second = world.launch(app, snapshot=world.snapshot(texts=AUTO))
    work_all()
    assert {token: one.badge for token, one in contents(provider).items()} == {
        "token-s0-fcm": 1,
        "token-s1-apns": 2,
    }
    runs.recall(second)
    world.launch(app, snapshot=world.snapshot(texts=AUTO))
    work_all()
    assert contents(provider)["token-s1-apns"].badge == 2


def test_a_platform_may_have_a_badge_of_its_own(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    eva = world.people(app, 1, "fcm")[0]
    world.device(eva, "apns")
    world.launch(app, snapshot=world.snapshot(texts=AUTO, overrides={"ios": Text(badge="0")}))
    work_all()
    assert {token: one.badge for token, one in contents(provider).items()} == {
        "token-s0-fcm": 1,
        "token-s0-apns": 0,
    }


def page_of(app: Application) -> list[Candidate]:
    found = people.page_after(app.pk, cursor=0, last=10**9, limit=100)
    return [Candidate(one, Named(one.id), one.uid) for one in found]


@pytest.mark.parametrize("count", [2, 40])
def test_a_page_asks_twice_however_many_people_it_holds(count: int) -> None:
    app = world.application()
    world.people(app, count)
    page = page_of(app)
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["log"]) as log,
    ):
        assert unread.badges_of(app, page) == {one.person.uid: 1 for one in page}
    assert len(main) + len(log) == 2


def test_a_page_that_is_worked_again_gives_the_same_badge(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 1)
    run = world.launch(app, snapshot=world.snapshot(texts=AUTO))
    (one,) = page_of(app)
    told = Candidate(one.person, one.named, notification_id(run.uid, UUID(bytes=one.person.uid)).bytes)
    before = unread.badges_of(app, [told])
    work_all()
    assert unread.badges_of(app, [told]) == before == {one.person.uid: 1}
