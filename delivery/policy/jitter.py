"""Landing jitter: the people of a page are not told in one instant; each notification has a place of its own.

Where it falls depends on the notification alone, so a page that is worked twice lands the same.
It never carries anybody into their quiet hours or past the end: what is left is spread instead.
"""

from delivery.policy import best_hour, window
from delivery.policy.quiet_hours import hours_of
from delivery.policy.verdicts import Candidate, Circumstances, expiry_of

LONGEST = 3_600
"""Seconds."""
STEPS = 12
"""Instants into which a page's people fall: each is a parcel of its own for each provider."""


def limit_of(candidate: Candidate, circumstances: Circumstances) -> float | None:
    """Return until when a notification may be on its way, None for ever.

    That is its end, the window's, or its person's next quiet hours.
    """
    end = expiry_of(candidate, circumstances)
    if best_hour.is_on(circumstances.policy):
        closes = best_hour.window_end(candidate, circumstances)
        end = closes if end is None else min(end, closes)
    shuts = window.closing(circumstances)
    if shuts is not None:
        end = shuts if end is None else min(end, shuts)
    hours = hours_of(candidate.person, circumstances)
    if hours is None:
        return end
    return hours.closes if end is None else min(end, hours.closes)


def landing_of(candidate: Candidate, circumstances: Circumstances) -> float:
    """Return when a candidate who passes is told: now, or within the jitter's seconds."""
    span = float(circumstances.policy.jitter)
    if not span:
        return circumstances.now
    limit = limit_of(candidate, circumstances)
    if limit is not None:
        span = min(span, max(0.0, limit - circumstances.now))
    return within(circumstances.now, span, candidate.notification)


def within(begin: float, span: float, notification: bytes) -> float:
    """Return the place of a notification (16 bytes) in a span of seconds."""
    return begin + span * (int.from_bytes(notification, "big") % STEPS) / STEPS
