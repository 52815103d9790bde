"""What browsers are told of a notice besides its texts, whoever brings it: the options of the Notifications API.

Sources: `NotificationOptions` (notifications.spec.whatwg.org); RFC 8030 section 5.3 for the urgency.
"""

from typing import Any

from delivery.content import Content

CAMEL = {"require_interaction": "requireInteraction"}
"""Options whose name in the browser is another than that with underscores."""
ELSEWHERE = frozenset({"urgency", "fcm_options"})
"""Options that are not the notice's."""
URGENCIES = {"critical": "high", "high": "high", "normal": "normal", "bulk": "low"}
"""By lane. A device on battery and off the wireless network gets `low` later (RFC 8030, table 1)."""


def options(content: Content) -> dict[str, Any]:
    """Return the options as a browser names them."""
    return {CAMEL.get(name, name): value for name, value in content.web.items() if name not in ELSEWHERE}


def urgency(content: Content, lane: str) -> str:
    """Return how urgent a message is to its push service."""
    return str(content.web.get("urgency") or URGENCIES[lane])
