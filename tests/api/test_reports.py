"""The report of a run by the API: the same numbers as the page's, for the application's own runs."""

import pytest

from delivery.models import Page, Parcel, Run, Tally, WorkState
from tests.api_world import World, make_world

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def shop() -> World:
    return make_world("shop")


def test_a_report_tells_how_far_a_run_got(shop: World) -> None:
    Page.objects.filter(run=shop.run).update(
        state=WorkState.DONE,
        audience=12,
        stopped=2,
        logged=10,
        messages=14,
        no_device=1,
        reasons={"no_consent": 2},
        spread={"locale": {"|de": 4, "|en": 6}, "platform": {"|web": 5, "|ios": 8}},
    )
    page = Page.objects.get(run=shop.run)
    Parcel.objects.create(
        run=shop.run,
        page=page,
        application=shop.application,
        lane="bulk",
        provider="apns",
        state=WorkState.DONE,
        due_at=0,
        created_at=0,
        size=8,
        sent=8,
        platforms={"ios": {"sent": 8}},
    )
    for kind, people, devices in (("acknowledged", 5, 6), ("opened", 2, 3)):
        for dimension, value in (("platform", "web"), ("locale", "de"), ("hour", "490000")):
            Tally.objects.create(
                run=shop.run, kind=kind, dimension=dimension, value=value, people=people, devices=devices
            )
    report = shop.service("GET", f"runs/{shop.run.uid}/report").json()
    stages = {
        stage["name"]: (stage["people"], stage["devices"], stage["share"]) for stage in report["funnel"]
    }
    assert stages == {
        "told": (10, 13, 1.0),
        "accepted": (None, 8, 8 / 13),
        "delivered": (5, 6, 0.5),
        "displayed": (0, 0, 0.0),
        "opened": (2, 3, 0.2),
    }
    platforms = {line["value"]: line for line in report["platforms"]}
    assert (platforms["ios"]["addressed"], platforms["ios"]["accepted"], platforms["web"]["opened"]) == (
        8,
        8,
        2,
    )
    assert [(line["value"], line["told"]) for line in report["locales"]] == [("en", 6), ("de", 4)]
    assert [hour["acknowledged"] for hour in report["hours"]] == [5]
    assert report["stopped"] == {"no_consent": 2} and report["experiment"] is None and report["goal"] is None


def test_a_report_needs_the_scope_to_read_runs(shop: World) -> None:
    assert shop.caller("runs:read")("GET", f"runs/{shop.run.uid}/report").status_code == 200
    assert shop.caller("campaigns:read")("GET", f"runs/{shop.run.uid}/report").status_code == 403


def test_the_report_of_a_run_that_nobody_answered_has_no_shares_of_nothing(shop: World) -> None:
    assert Run.objects.count() == 1
    report = shop.service("GET", f"runs/{shop.run.uid}/report").json()
    assert [stage["share"] for stage in report["funnel"]] == [None, None, None, None, None]
    assert report["hours"] == [] and report["platforms"] == []
