"""What an FCM device's token may be besides a registration token: a topic of FCM, or a condition of such topics.

Apps subscribe to topics by themselves, so such a device stands for all of them. Source: "Send messages to topics"
(firebase.google.com/docs/cloud-messaging/topic-messaging).
"""

import re
from typing import Literal, NamedTuple

TOPIC, CONDITION = "topic:", "condition:"
MANY = (TOPIC, CONDITION)
"""How the token of a device that stands for many begins; a registration token never begins so."""
MOST_TOPICS = 5

_NAME = r"[a-zA-Z0-9\-_.~%]{1,900}"
_is_topic = re.compile(_NAME).fullmatch
_TERM = re.compile(rf"\s*(?:'{_NAME}'\s+in\s+topics|(\()|(\))|(&&|\|\|)|(!))")


class Address(NamedTuple):
    """Whom a message goes to, by the name of FCM's own field."""

    field: Literal["token", "topic", "condition"]
    value: str


def address_of(token: str) -> Address:
    """Return whom a device's token leads to."""
    if token.startswith(TOPIC):
        return Address("topic", token[len(TOPIC) :])
    if token.startswith(CONDITION):
        return Address("condition", token[len(CONDITION) :])
    return Address("token", token)


def fault_of(token: str) -> str:
    """Return what is wrong with the token of a device that stands for many, or an empty text."""
    field, value = address_of(token)
    if field == "topic" and not _is_topic(value):
        return "A topic is written topic:NAME, the name in letters, digits and - _ . ~ %, as topic:weather.berlin."
    if field == "condition" and not _is_condition(value):
        return (
            f"A condition names at most {MOST_TOPICS} topics of FCM, as condition:'sport' in topics && "
            "('berlin' in topics || 'hamburg' in topics)."
        )
    return ""


def _is_condition(text: str) -> bool:
    """Return whether topics, the operators `&& || !` and brackets stand as an expression asks for."""
    at = depth = topics = 0
    wants_topic = True
    while at < len(text.rstrip()):
        found = _TERM.match(text, at)
        if found is None:
            return False
        at = found.end()
        opens, closes, joins, negates = found.groups()
        if bool(closes or joins) == wants_topic:
            return False
        if opens:
            depth += 1
        elif closes:
            depth -= 1
        elif joins:
            wants_topic = True
        elif not negates:
            topics, wants_topic = topics + 1, False
        if depth < 0:
            return False
    return depth == 0 and not wants_topic and topics <= MOST_TOPICS
