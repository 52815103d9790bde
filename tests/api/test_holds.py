"""Stop all by the API: at once, by lane, and only what the key may use."""

import pytest

from delivery.models import Hold
from tests.api_world import World, make_world

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def shop(db: None) -> World:
    return make_world("shop")


def test_everything_is_stopped_and_goes_on_again(shop: World) -> None:
    answer = shop.service("POST", "holds", {"reason": "wrong price"})
    assert answer.status_code == 200, answer.content
    [hold] = answer.json()["items"]
    assert (hold["lane"], hold["reason"]) == (None, "wrong price") and hold["by"].startswith("key ")
    assert shop.service("GET", "holds").json()["items"] == [hold]
    assert shop.service("DELETE", "holds").json() == {"items": []}
    assert not Hold.objects.exists()


def test_one_lane_is_stopped_and_resumed_alone(shop: World) -> None:
    shop.service("POST", "holds", {"lane": "bulk"})
    shop.service("POST", "holds", {"lane": "high"})
    shop.service("POST", "holds", {"lane": "normal"})
    left = shop.service("DELETE", "holds?lane=bulk").json()["items"]
    assert {hold["lane"] for hold in left} == {"high", "normal"}
    left = shop.service("DELETE", "holds", {"lane": "normal"}).json()["items"]
    assert [hold["lane"] for hold in left] == ["high"]


def test_what_is_not_stopped_cannot_be_resumed(shop: World) -> None:
    answer = shop.service("DELETE", "holds")
    assert answer.status_code == 409 and "Nothing of Shop is stopped" in answer.json()["detail"]


def test_a_key_stops_only_lanes_it_was_granted(shop: World) -> None:
    caller = shop.caller("runs:write", lanes=("bulk",))
    assert caller("POST", "holds", {}).status_code == 403
    assert caller("POST", "holds", {"lane": "critical"}).status_code == 403
    assert caller("POST", "holds", {"lane": "bulk"}).status_code == 200
    assert shop.caller("runs:read")("POST", "holds", {}).status_code == 403


def test_a_lane_that_there_is_not_is_refused(shop: World) -> None:
    assert shop.service("POST", "holds", {"lane": "fast"}).status_code == 400
    assert shop.service("POST", "holds", {"lanes": "bulk"}).status_code == 400
    for path, body in (("holds?lane=fast", None), ("holds?lane=", None), ("holds", {"lane": "fast"})):
        answer = shop.service("DELETE", path, body)
        assert answer.status_code == 400
        assert "not one of critical, high, normal, bulk" in answer.json()["detail"]


@pytest.mark.parametrize(("path", "body"), [("holds?laen=bulk", None), ("holds", {"laen": "bulk"})])
def test_a_mistyped_lane_lets_nothing_go_on(shop: World, path: str, body: dict[str, str] | None) -> None:
    shop.service("POST", "holds", {})
    answer = shop.service("DELETE", path, body)
    assert answer.status_code == 400 and "did you mean “lane”" in answer.json()["detail"]
    assert Hold.objects.count() == 1
