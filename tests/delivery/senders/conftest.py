"""A fleet of their own for the senders' tests, because they break it, and a server without manners."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from delivery.content import Content
from delivery.senders.contract import Credential, Envelope, Message
from fleet.client import Fleet
from tests.delivery.senders.rude import Rude, serve

TOPIC = "com.example.senders"


@pytest.fixture(scope="session")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet.start(tmp_path_factory.mktemp("senders-fleet")) as fleet:
        yield fleet


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Iterator[Fleet]:
    """A fleet without faults."""
    yield whole_fleet
    whole_fleet.clear_faults()


@pytest.fixture(scope="session")
def project(whole_fleet: Fleet) -> dict[str, Any]:
    return whole_fleet.make_project("senders-tests")


@pytest.fixture
def fcm_credential(fleet: Fleet, project: dict[str, Any]) -> Credential:
    return Credential(
        uid=str(uuid4()),
        application=1,
        secret={"service_account": project["service_account"]},
        base_url=fleet.fcm_url,
        token_url=fleet.oauth_url,
        ca_file=fleet.ca_file,
    )


@pytest.fixture
def apns_credential(fleet: Fleet) -> Credential:
    key = fleet.make_apns_key(topics=[TOPIC])
    return Credential(
        uid=str(uuid4()),
        application=1,
        secret={name: key[name] for name in ("private_key", "key_id", "team_id")},
        settings={"topic": TOPIC},
        base_url=fleet.apns_url,
        sandbox_url=fleet.apns_sandbox_url,
        ca_file=fleet.ca_file,
    )


@pytest.fixture
def fcm_tokens(fleet: Fleet, project: dict[str, Any]) -> Callable[[int], list[str]]:
    return lambda count: fleet.make_fcm_devices(count, project=project["project"])


@pytest.fixture
def apns_tokens(fleet: Fleet) -> Callable[..., list[str]]:
    def make(count: int, environment: str = "production") -> list[str]:
        return fleet.make_apns_devices(count, topic=TOPIC, environment=environment)

    return make


@pytest.fixture
def envelope_for() -> Callable[..., Envelope]:
    """Return a maker of envelopes: one message for each token, a new run each time."""

    def make(tokens: list[str], *, sandbox: bool = False, **fields: Any) -> Envelope:
        messages = [
            Message(number, number, token, str(uuid4()), 0, sandbox) for number, token in enumerate(tokens, 1)
        ]
        given = {"lane": "high", "expires_at": None, "contents": [Content(title="Title", body="Body")]}
        return Envelope(run=str(uuid4()), messages=messages, **(given | fields))

    return make


@pytest.fixture(scope="session")
def rude_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rude]:
    with serve(tmp_path_factory.mktemp("rude")) as rude:
        yield rude


@pytest.fixture
def rude(rude_server: Rude) -> Rude:
    rude_server.requests.clear()
    rude_server.answers.clear()
    return rude_server
