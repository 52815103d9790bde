"""A page of another origin may ask for what devices use, and for nothing else."""

import pytest

from devices.authentication import SubscriberTokenAuthentication
from notifyhub.api import urlpatterns
from tests.api_world import Caller, World

pytestmark = pytest.mark.django_db(databases=["default", "log"])
ASKED = {"origin": "https://shop.example", "access_control_request_method": "PUT"}


DEVICES = "devices/6f1c3c1e-7f0a-4a51-9f58-1f3a0d9d2c11"
TAKE_A_TOKEN = [
    str(route.pattern)
    for route in urlpatterns
    if SubscriberTokenAuthentication
    in getattr(getattr(route.callback, "cls", None), "authentication_classes", ())
]


@pytest.mark.parametrize("path", [*TAKE_A_TOKEN, "inbox/stream", DEVICES])
def test_what_a_device_uses_answers_a_preflight(path: str) -> None:
    answer = Caller()("OPTIONS", path, **ASKED)
    assert answer.status_code == 204
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert {"GET", "POST", "PUT", "PATCH"} <= set(answer["Access-Control-Allow-Methods"].split(", "))
    assert {"Authorization", "Content-Type", "Last-Event-ID"} <= set(
        answer["Access-Control-Allow-Headers"].split(", ")
    )


@pytest.mark.parametrize("path", ["campaigns", "notifications", "subscribers/ada", "tokens", "schema/"])
def test_what_services_use_does_not(path: str) -> None:
    assert "Access-Control-Allow-Origin" not in Caller()("OPTIONS", path, **ASKED)


def test_an_answer_can_be_read_by_the_page_with_its_headers_and_cookies_count_nowhere(shop: World) -> None:
    for caller in (shop.app(), Caller()):
        answer = caller("GET", "inbox", origin="https://shop.example")
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Poll-After-Ms" in answer["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer
