"""Whose address counts: the one that the proxy before the hub saw, for Django's requests and for sockets alike."""

from typing import Any

import pytest
from django.test import RequestFactory

from devices import addresses

OWN, SEEN = "203.0.113.5", "198.51.100.7"


def of_both(*headers: str) -> set[str]:
    """Return what is said of a request and of a socket that come with some headers X-Forwarded-For."""
    # Django joins what comes twice, as HTTP allows
    more = {"HTTP_X_FORWARDED_FOR": ",".join(headers)} if headers else {}
    request = RequestFactory().get("/", REMOTE_ADDR="127.0.0.1", **more)  # type: ignore[arg-type]
    scope: dict[str, Any] = {
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-forwarded-for", header.encode()) for header in headers],
    }
    return {addresses.of_request(request), addresses.of_scope(scope)}


@pytest.mark.parametrize("headers", [(f"{OWN}, {SEEN}",), (OWN, SEEN)], ids=["added to", "a line of its own"])
def test_behind_a_proxy_the_address_is_the_last_one_it_names(settings: Any, headers: tuple[str, ...]) -> None:
    assert of_both(*headers) == {"127.0.0.1"}, "without a proxy a device may write what it likes"
    settings.BEHIND_TLS = True
    assert of_both(*headers) == {SEEN}
    assert of_both() == {"127.0.0.1"}


def test_a_connection_without_an_address_has_none() -> None:
    assert addresses.of_scope({"client": None, "headers": []}) == ""
