"""Topics of FCM and conditions of them, as a service writes them."""

import pytest

from devices.fcm_addresses import Address, address_of, fault_of


def test_a_registration_token_is_no_topic() -> None:
    assert address_of("dQw4:APA91bTopic") == Address("token", "dQw4:APA91bTopic")
    assert address_of("topic:news") == Address("topic", "news")
    assert address_of("condition:'a' in topics") == Address("condition", "'a' in topics")


@pytest.mark.parametrize(
    "token",
    [
        "topic:weather.berlin",
        "topic:a~b%20c-d_e",
        "condition:'a' in topics",
        "condition:'a' in topics && ('b' in topics || 'c' in topics)",
        "condition:!('a' in topics)",
        "condition: 'a' in topics  ||  !'b' in topics ",
        "condition:" + " && ".join(f"'t{number}' in topics" for number in range(5)),
    ],
)
def test_what_fcm_takes_is_no_fault(token: str) -> None:
    assert fault_of(token) == ""


@pytest.mark.parametrize(
    "token",
    [
        "topic:",
        "topic:/topics/news",
        "topic:two words",
        "topic:grün",
        "condition:",
        "condition:a in topics",
        "condition:'a' in topics &&",
        "condition:'a' in topics 'b' in topics",
        "condition:('a' in topics",
        "condition:'a' in topics)",
        "condition:)('a' in topics",
        "condition:()",
        "condition:'a' in topics & 'b' in topics",
        "condition:" + " && ".join(f"'t{number}' in topics" for number in range(6)),
    ],
)
def test_what_fcm_does_not_take_is_said_with_an_example(token: str) -> None:
    said = fault_of(token)
    assert said.endswith(".") and token.partition(":")[0] + ":" in said
