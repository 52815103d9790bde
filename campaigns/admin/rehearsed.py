"""A dry run in sentences, for the page that asks before a launch."""

from campaigns import launching
from campaigns.models import Campaign
from delivery.dryrun import Rehearsal
from delivery.reasons import DEFERRED, STOPPED
from devices.models import Provider


def sentences(campaign: Campaign) -> list[str]:
    """Return what a launch would come to and what some would read; nothing for a campaign that does not render."""
    try:
        rehearsal = launching.rehearse(campaign)
    except launching.LaunchError:
        return []
    if not rehearsal.audience:
        return []
    return [*_counts(rehearsal), *_sizes(rehearsal), *_texts(rehearsal)]


def _counts(rehearsal: Rehearsal) -> list[str]:
    said = [f"Rehearsed: {rehearsal.told:,} of {rehearsal.audience:,} people are told when it starts."]
    said += [f"{count:,} later. {DEFERRED[reason]}" for reason, count in rehearsal.later.items()]
    said += [f"{count:,} not at all. {STOPPED[reason]}" for reason, count in rehearsal.stopped.items()]
    if rehearsal.no_device:
        said.append(f"{rehearsal.no_device:,} have no device: it stands in their inbox only.")
    if rehearsal.sampled:
        said.append(
            f"These numbers are estimates: {rehearsal.looked_at:,} people were looked at, and each is right"
            f" to within {rehearsal.margin:.1%} of the audience, 19 times of 20."
        )
    if not rehearsal.caps_counted:
        said.append("Frequency caps could not be counted now: there may be fewer.")
    if rehearsal.seconds:
        said.append(f"At its rate it takes about {_span(rehearsal.seconds)}.")
    return said


def _sizes(rehearsal: Rehearsal) -> list[str]:
    said = []
    for name, weight in rehearsal.bytes.items():
        if name == Provider.SOCKET:
            continue
        label = Provider(name).label
        said.append(
            f"{label}: {rehearsal.messages.get(name, 0):,} messages of {weight.mean:,} bytes,"
            f" {weight.largest:,} the largest ({weight.limit:,} are allowed)."
        )
        if weight.shortened:
            said.append(
                f"{label}: the text of {weight.shortened:,} of {weight.weighed:,} is too long and will be cut."
            )
        if weight.too_large:
            said.append(
                f"{label}: {weight.too_large:,} of {weight.weighed:,} are too large even with their texts cut,"
                " and will not be sent: make the data smaller."
            )
    return said


def _texts(rehearsal: Rehearsal) -> list[str]:
    return [
        f"{one.external_id} reads: {' — '.join(part for part in (one.title, one.body) if part)}"
        for one in rehearsal.samples
    ]


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} seconds"
