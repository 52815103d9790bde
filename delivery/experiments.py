"""Who is in which arm of an experiment: a stable draw by subscriber, and what each arm says.

The draw is a hash of the experiment's key and the subscriber's uid, so that it is the same on every page, every
retry and every run of a recurring campaign, and another one in every other experiment.
"""

import hashlib
from collections.abc import Callable

import msgspec

from delivery.rendering import over
from delivery.snapshot import Experiment, Snapshot, Text

CONTROL = "control"
"""The arm that is told nothing; no variant may have this name."""
WHOLE = 10_000
_SPACE = 1 << 64


def arms(experiment: Experiment) -> Callable[[bytes], str]:
    """Return what tells a subscriber's arm by their uid (16 bytes): a variant's key, or `CONTROL`."""
    salt = experiment.key.encode()
    control = experiment.control * _SPACE // WHOLE
    weights = sum(variant.weight for variant in experiment.variants)
    bounds: list[tuple[int, str]] = []
    passed = 0
    for variant in experiment.variants:
        passed += variant.weight
        bounds.append((control + (_SPACE - control) * passed // max(weights, 1), variant.key))
    winner, last = experiment.winner, bounds[-1][1] if bounds else ""

    def arm(subscriber: bytes) -> str:
        drawn = int.from_bytes(hashlib.sha256(salt + b"\0" + subscriber).digest()[:8], "big")
        if drawn < control:
            return CONTROL
        if winner:
            return winner
        for bound, key in bounds:
            if drawn < bound:
                return key
        return last

    return arm


def told(snapshot: Snapshot, variant: str) -> Snapshot:
    """Return the snapshot as one variant says it; the snapshot itself for a name that is none of its variants."""
    experiment = snapshot.experiment
    chosen = next((one for one in experiment.variants if one.key == variant), None) if experiment else None
    if chosen is None or not chosen.texts:
        return snapshot
    texts = dict(snapshot.texts)
    base = chosen.texts.get(snapshot.locale, Text())
    for locale in {*snapshot.texts, *chosen.texts}:
        # a language that the variant leaves out keeps its own text, not the fallback's
        differs = chosen.texts.get(locale, Text())
        texts[locale] = over(texts.get(locale, over(snapshot.texts[snapshot.locale], base)), differs)
    return msgspec.structs.replace(snapshot, texts=texts)
