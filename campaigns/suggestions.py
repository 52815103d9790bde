"""Which names in a campaign's texts nobody knows, and what was probably meant. Pure.

What is unknown may still be right (an attribute that comes tomorrow), so this never refuses a text.
"""

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from delivery import rendering
from delivery.snapshot import Snapshot
from devices.words import gettext as _

SUBSCRIBER = ("subscriber.external_id", "subscriber.locale", "preferences_url")
"""What every text may name."""
BROUGHT = "event"
"""What a rule's event brings; what is in it is not known beforehand."""


class Suggestion(NamedTuple):
    """A name that is not known: where (as `texts.en.title`), its line from 1, the name, the one meant (or empty)."""

    field: str
    line: int
    name: str
    meant: str

    @property
    def sentence(self) -> str:
        """What to say beside the field."""
        if self.meant:
            return _("`%(name)s`: did you mean `%(meant)s`?") % {"name": self.name, "meant": self.meant}
        return _("`%(name)s`: no subscriber looked at has this attribute; it would be empty.") % {
            "name": self.name
        }


def suggest(snapshot: Snapshot, attributes: Iterable[str]) -> list[Suggestion]:
    """Return the names in a snapshot's texts that are neither among `attributes` (as `address.city`) nor the hub's own.

    Without any attributes nothing is known, and nothing suggested.
    """
    known = list(attributes)
    if not known:
        return []
    whole = {*known, *SUBSCRIBER, *snapshot.variables}
    tops = {name.partition(".")[0] for name in whole} | {BROUGHT}
    candidates = sorted(whole | tops)
    found: list[Suggestion] = []
    for field, source in rendering.sources(snapshot):
        for name, line in rendering.names_in(source):
            top = name.partition(".")[0]
            if top in tops and (top != "subscriber" or name in whole or name == top):
                continue
            near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
            found.append(Suggestion(field, line, name, near[0] if near else ""))
    return found
