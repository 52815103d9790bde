"""`manage.py stop`: one command stops an application or a lane, one lets it go on."""

import io

import pytest
from django.core.management import CommandError, call_command

from delivery.models import Hold
from devices.models import Application

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shop(db: None) -> Application:
    return Application.objects.create(name="Shop", slug="shop")


def stop(*words: str) -> str:
    out = io.StringIO()
    call_command("stop", "--application", "shop", *words, stdout=out)
    return out.getvalue()


def test_it_stops_every_lane_and_says_how_to_go_on() -> None:
    assert "manage.py stop --application shop --resume" in stop("--reason", "wrong price")
    hold = Hold.objects.get()
    assert (hold.lane, hold.reason) == ("", "wrong price") and "manage.py stop" in hold.by


def test_one_lane_is_stopped_and_resumed_alone() -> None:
    stop("--lane", "bulk")
    stop("--lane", "high")
    assert "Still stopped: high" in stop("--lane", "bulk", "--resume")
    assert Hold.objects.get().lane == "high"


def test_resuming_without_a_lane_ends_every_stop() -> None:
    stop("--lane", "bulk")
    stop()
    assert "goes on" in stop("--resume")
    assert not Hold.objects.exists()


def test_what_is_not_stopped_is_an_error() -> None:
    with pytest.raises(CommandError, match="Nothing of Shop is stopped"):
        stop("--resume")


def test_an_unknown_application_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(CommandError, match="no application “shpo”; there are shop"):
        call_command("stop", "--application", "shpo")
