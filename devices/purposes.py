"""What a token of Apple's is for: some kinds of push have tokens of their own, which take nothing else.

Sources: "Sending notification requests to APNs" (developer.apple.com/documentation/usernotifications/
sending-notification-requests-to-apns) and, for live activities, "Starting and updating Live Activities with ActivityKit
push notifications" (developer.apple.com/documentation/activitykit/
starting-and-updating-live-activities-with-activitykit-push-notifications).
"""

import re

LONGEST = 100

OWN = ("voip", "complication", "fileprovider", "location", "pushtotalk", "widgets", "controls", "mdm")
"""Push types whose token is one of the installation, with the type's name; `controls` may name which control."""
ACTIVITY = "liveactivity"
"""`liveactivity:<name>`: the token of one running activity, under the app's own name for it."""
START = "liveactivity-start"
"""`liveactivity-start:<type>`: starts an activity whose attributes are of that Swift type."""

_NAME = re.compile(r"[!-~]{1,70}")


class PurposeError(ValueError):
    """A text that is no purpose; says which there are."""


def check(purpose: str) -> str:
    """Return a purpose; raises `PurposeError` for a text that is none. Empty: alerts and background."""
    kind, colon, name = purpose.partition(":")
    named = bool(_NAME.fullmatch(name))
    if not purpose or (kind in OWN and not colon):
        return purpose
    if kind in (ACTIVITY, START, "controls") and named:
        return purpose
    raise PurposeError(
        f"Write one of {', '.join(OWN)}, {ACTIVITY}:<the activity's name>, {START}:<the type of its attributes>"
        " or controls:<name>; leave it out for alerts and background."
    )
