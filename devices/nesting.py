"""Segments inside segments: puts the predicates of the segments that one names in their places."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from devices.predicates import PredicateError, parse

if TYPE_CHECKING:
    from devices.models import Segment

MAX_NESTING = 5
"""How deep segments may stand in each other."""


def named(predicate: Any) -> list[str]:
    """Return the uids of the segments that a predicate (well-formed) names itself."""
    return list(dict.fromkeys(uid for uid, _ in _mentions(predicate, "")))


def whole(application_id: int, predicate: Any) -> Any:
    """Return a predicate with the segments it names put in their places; static ones stay, as lists are read.

    Raises `PredicateError`, with the place in the predicate, for segments that there are not in the application,
    that stand in themselves, that stand deeper than five in each other, and for more than 500 conditions in all.
    """
    return expand(application_id, predicate)


def expand(application_id: int, predicate: Any, *, own: "Segment | None" = None) -> Any:
    """Return `whole` of what the segment `own` is about to say: it may not come to itself."""
    mentions = list(_mentions(predicate, ""))
    if not mentions:
        return predicate
    known = _read(application_id, [uid for uid, _ in mentions])
    trail = (str(own.uid),) if own is not None else ()
    names = {uid: segment.name for uid, segment in known.items()}
    if own is not None:
        names[str(own.uid)] = own.name or _("this segment")
    full = _put_in(predicate, "", "", known, names, trail)
    try:
        parse(full, whole=True)
    except PredicateError as error:
        raise PredicateError(
            mentions[0][1],
            _("with the segments in it, %(reason)s Name fewer or smaller ones.") % {"reason": error.reason},
        ) from None
    return full


def _read(application_id: int, uids: Iterable[str]) -> "dict[str, Segment]":
    """Return the segments named, those they name, and so on: one query for each step down."""
    from devices.models import Segment

    known: dict[str, Segment] = {}
    ask = set(uids)
    for _depth in range(MAX_NESTING + 1):
        ask -= known.keys()
        if not ask:
            break
        found = Segment.objects.filter(application=application_id, uid__in=ask)
        known.update({str(segment.uid): segment for segment in found})
        ask = {uid for segment in found for uid in named(segment.predicate)}
    return known


def _put_in(
    node: Any, at: str, place: str, known: "dict[str, Segment]", names: dict[str, str], trail: tuple[str, ...]
) -> Any:
    """Return a node whole; `at` walks on through what is put in, `place` is where the outermost names a segment."""
    if not isinstance(node, dict):
        return node
    if "segment" in node and len(node) == 1:
        uid, here = str(node["segment"]), place or f"{at}/segment"
        if uid in trail:
            circle = " → ".join(f"“{names.get(one, one)}”" for one in (*trail[trail.index(uid) :], uid))
            raise PredicateError(
                here, _("a segment cannot stand in itself: %(circle)s.") % {"circle": circle}
            )
        if (inner := known.get(uid)) is None:
            raise PredicateError(
                here, _("there is no segment with the id %(uid)s in this application.") % {"uid": uid}
            )
        if len(trail) >= MAX_NESTING:
            raise PredicateError(
                here,
                _("segments stand at most %(max_nesting)s deep in each other.")
                % {"max_nesting": MAX_NESTING},
            )
        if inner.is_static:
            return node
        return _put_in(inner.predicate, "", here, known, names, (*trail, uid))
    for kind in ("all", "any"):
        if kind in node and isinstance(node[kind], list):
            return {
                kind: [
                    _put_in(part, f"{at}/{kind}/{index}", place, known, names, trail)
                    for index, part in enumerate(node[kind])
                ]
            }
    if "not" in node:
        return {"not": _put_in(node["not"], f"{at}/not", place, known, names, trail)}
    return node


def _mentions(node: Any, at: str) -> Iterable[tuple[str, str]]:
    if not isinstance(node, dict):
        return
    if "segment" in node:
        yield str(node["segment"]), f"{at}/segment"
    for kind in ("all", "any"):
        if isinstance(node.get(kind), list):
            for index, part in enumerate(node[kind]):
                yield from _mentions(part, f"{at}/{kind}/{index}")
    if "not" in node:
        yield from _mentions(node["not"], f"{at}/not")
