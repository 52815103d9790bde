"""From the fields of a campaign to its policy as delivery is handed it, or to what is wrong with them. Pure."""

from datetime import UTC, date, datetime, time
from typing import Protocol

from delivery.policy import jitter, window
from delivery.snapshot import Policy
from devices.words import gettext as _
from devices.words import number

FIELDS = (
    "transactional",
    "critical_override",
    "when_capped",
    "local_time",
    "local_date",
    "local_late",
    "best_hour",
    "best_from",
    "best_until",
    "rate",
    "rate_per",
    "ramp",
    "window_start",
    "window_end",
    "jitter",
)
"""The fields of a campaign that make its policy."""
LONGEST_RAMP = 86_400
FASTEST = 10_000_000
LONGEST_NIGHT = 12
"""Hours; a window over midnight that is longer is taken for one that ends before it begins."""


class PolicyError(ValueError):
    """A policy that cannot be kept: `field` of the campaign and a sentence."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(reason)


class Fields(Protocol):
    """What a campaign says about its policy."""

    lane: str
    ttl: int
    transactional: bool
    critical_override: bool
    when_capped: str
    local_time: time | None
    local_date: date | None
    local_late: str
    best_hour: int | None
    best_from: int
    best_until: int
    rate: int
    rate_per: str
    ramp: int
    window_start: time | None
    window_end: time | None
    jitter: int
    event_type_id: int | None


def build(campaign: Fields, *, overridable: bool) -> Policy:
    """Return a campaign's policy; `overridable`: its category allows critical campaigns to override.

    Raises `PolicyError` with the first field that does not hold.
    """
    if campaign.critical_override and campaign.lane != "critical":
        raise PolicyError("critical_override", _("Only a campaign in the lane critical may override."))
    if campaign.critical_override and not overridable:
        raise PolicyError(
            "critical_override",
            _("Choose a category that allows critical campaigns to override preferences."),
        )
    for name, most in (("jitter", jitter.LONGEST), ("ramp", LONGEST_RAMP), ("rate", FASTEST)):
        if not 0 <= getattr(campaign, name) <= most:
            raise PolicyError(name, _("Write a number from 0 to %(most)s.") % {"most": number(most)})
    if campaign.local_date is not None and campaign.local_time is None and campaign.best_hour is None:
        raise PolicyError("local_date", _("A day needs a local time, or a best hour, beside it."))
    _check_best(campaign)
    if campaign.ramp and not campaign.rate:
        raise PolicyError("ramp", _("It shapes a rate: set one."))
    _check_window(campaign)
    return Policy(
        transactional=campaign.transactional,
        override=campaign.critical_override,
        capped=campaign.when_capped,
        local_time=_clock(campaign.local_time),
        local_date=campaign.local_date.isoformat() if campaign.local_date else "",
        late=campaign.local_late,
        rate=campaign.rate,
        rate_per=campaign.rate_per,
        ramp=campaign.ramp,
        window_start=_clock(campaign.window_start),
        window_end=_clock(campaign.window_end),
        jitter=campaign.jitter,
        **_best(campaign),
    )


def opened(campaign: Fields, at: datetime, zone: str) -> datetime:
    """Return when the window of a campaign lets it begin: at an instant (aware), or when it opens next."""
    policy = Policy(window_start=_clock(campaign.window_start), window_end=_clock(campaign.window_end))
    return opened_by(policy, at, zone)


def opened_by(policy: Policy, at: datetime, zone: str) -> datetime:
    """Return the same for a policy."""
    since = at.timestamp()
    opens = window.opening(policy, since, started=since, zone=zone)
    return at if opens <= since else datetime.fromtimestamp(opens, UTC)


def _check_window(campaign: Fields) -> None:
    start, end = campaign.window_start, campaign.window_end
    if end is None:
        if start is not None:
            raise PolicyError("window_end", _("Write until when too, as 20:00."))
        return
    if campaign.best_hour is not None:
        raise PolicyError(
            "window_end",
            _("The best hour of each person has a window of its own, on their clock: empty one of the two."),
        )
    if start is None:
        if campaign.event_type_id is not None:
            raise PolicyError("window_start", _("An event may come at any time: write from when on, too."))
        return
    minutes = (end.hour - start.hour) * 60 + end.minute - start.minute
    if not minutes:
        raise PolicyError("window_end", _("It ends when it begins: write a later end."))
    if minutes < 0 and minutes + 24 * 60 > LONGEST_NIGHT * 60:
        raise PolicyError(
            "window_end",
            _("It ends before it begins: a window over midnight has at most %(hours)s hours.")
            % {"hours": LONGEST_NIGHT},
        )


def _check_best(campaign: Fields) -> None:
    if campaign.best_hour is None:
        return
    if campaign.local_time is not None:
        raise PolicyError(
            "best_hour", _("Either a local time or the best hour of each person: empty one of them.")
        )
    if not 0 <= campaign.best_from < campaign.best_until <= 24:
        raise PolicyError(
            "best_until", _("It ends before it begins: write an hour after the first, 24 at most.")
        )
    if not campaign.best_from <= campaign.best_hour < campaign.best_until:
        said = _("Write an hour from %(best_from)s to %(best_until)s, as the window has it.") % {
            "best_from": campaign.best_from,
            "best_until": campaign.best_until - 1,
        }
        raise PolicyError("best_hour", said)


def _best(campaign: Fields) -> dict[str, int]:
    if campaign.best_hour is None:
        return {}
    return {"best": campaign.best_hour, "best_from": campaign.best_from, "best_until": campaign.best_until}


def _clock(at: time | None) -> str:
    return "" if at is None else at.strftime("%H:%M")
