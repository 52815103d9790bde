"""Who is let in, before anything is done for them that costs something."""

import asyncio
from typing import Any

import pytest

from delivery.node import consumer, table
from delivery.node.admission import Admission
from delivery.node.consumer import DeviceConsumer


def admission(**limits: int) -> Admission:
    return Admission(**{"most": 10, "opening": 10, "per_address": 10} | limits)


def test_a_full_node_lets_the_next_one_in_when_one_is_gone() -> None:
    door = admission(most=2)
    assert [door.ask("a"), door.ask("b")] == [None, None]
    refusal = door.ask("c")
    assert refusal is not None and refusal.reason == "full" and 5 <= refusal.retry_after <= 30
    door.gone("a", opened=False)
    assert door.ask("c") is None
    assert door.refused == {"full": 1}


def test_too_many_without_a_token_wait_until_some_have_shown_theirs() -> None:
    door = admission(opening=1)
    assert door.ask("a") is None
    refusal = door.ask("b")
    assert refusal is not None and refusal.reason == "crowded"
    door.opened()
    assert door.ask("b") is None
    door.gone("b", opened=False)
    assert door.ask("c") is None


def test_one_address_has_its_own_limit_and_this_machine_has_none() -> None:
    door = admission(per_address=1)
    assert door.ask("198.51.100.7") is None
    refusal = door.ask("198.51.100.7")
    assert refusal is not None and refusal.reason == "address"
    assert door.ask("198.51.100.8") is None
    assert [door.ask("127.0.0.1"), door.ask("127.0.0.1")] == [None, None]
    door.gone("198.51.100.7", opened=False)
    assert door.ask("198.51.100.7") is None


def test_a_node_that_leaves_lets_nobody_in() -> None:
    door = admission()
    door.leaving = True
    refusal = door.ask("a")
    assert refusal is not None and refusal.reason == "leaving"


def test_a_refusal_asks_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    node = table.Node()
    node.admission.leaving = True
    monkeypatch.setattr(consumer, "node", lambda: node)
    monkeypatch.setattr(consumer, "lookups", None)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "client": ("127.0.0.1", 1), "extensions": {"websocket.http.response": {}}}
    asyncio.run(DeviceConsumer()(scope, receive, send))
    assert sent[0]["status"] == 503
    assert dict(sent[0]["headers"])[b"retry-after"].isdigit()
    assert node._tasks == []
