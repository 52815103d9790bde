"""Why somebody was not told, or a message not sent: every reason code once, with a sentence for people."""

STOPPED = {
    "no_consent": "The subscriber wants no notifications.",
    "category_off": "The subscriber switched this category off.",
    "not_opted_in": "The category reaches only those who asked for it, and the subscriber has not.",
    "duplicate": "The subscriber stood in the page twice with the same notification.",
    "expired": "The notification was past its time when its turn came.",
    "unknown_subscriber": "The subscriber was deleted before their turn came.",
    "render_failed": "The text could not be rendered with this subscriber's attributes.",
    "given_up": "Their page could not be planned, and somebody gave it up.",
}
"""Subscribers whom the planner stopped: they have no entry in their log."""

OUTCOMES = {
    "accepted": "The provider accepted the message.",
    "written": "The message was written to the device's WebSocket.",
    "offline": "The device held no WebSocket; the message waits in its log.",
    "node_silent": "The node that held the WebSocket did not answer; the message waits in its log.",
    "expired": "The message was past its time before it could be sent.",
    "gave_up": "The provider could not take the message in as many attempts as there are.",
    "given_up": "The message could not be sent, and somebody gave it up.",
    "cancelled": "The run was cancelled before the message was sent.",
    "recalled": "The run was recalled before the message was sent.",
    "opted_out": "The subscriber opted out before the message was sent.",
    "device_gone": "The device was retired or removed before the message was sent.",
    "no_device": "The subscriber has no device that this run is for.",
}
"""What became of messages; `failed` outcomes carry the senders' own codes besides."""
