"""From the fields of a campaign to its policy as delivery is handed it, or to what is wrong with them. Pure."""

from datetime import date, time
from typing import Protocol

from delivery.policy import jitter
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
    "window_end",
    "jitter",
)
"""The fields of a campaign that make its policy."""
LONGEST_RAMP = 86_400
FASTEST = 10_000_000


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
    window_end: time | None
    jitter: int


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
    for name in ("ramp", "window_end"):
        if getattr(campaign, name) and not campaign.rate:
            raise PolicyError(name, _("It shapes a rate: set one."))
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
        window_end=_clock(campaign.window_end),
        jitter=campaign.jitter,
        **_best(campaign),
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
