"""Imports of CSV files, worked in the background, a part in one transaction: a worker that is killed loses nothing.

A part is worked once whoever claims it: the transaction that writes its people marks it finished. An import is claimed
with a lease, one part at a time, so that several go on beside each other.
"""

import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import IO, Any

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from devices import csv_in
from devices.csv_in import FileError
from devices.models import Import, ImportPart, SegmentMember, Subscriber
from devices.models.imports import STOPPED

log = structlog.get_logger(__name__)

State = Import.State
MOST_ATTRIBUTES = 100
KEPT_DAYS = 30


class _LostError(Exception):
    """Another worker has this import by now, or it was cancelled."""


def take(source: Import, file: IO[bytes]) -> None:
    """Read a file into the parts of a saved import, and let it begin; raises `FileError`, and leaves nothing.

    Why rows are refused is said in the language that is active now, also later.
    """
    source.language = get_language() or settings.LANGUAGE_CODE
    try:
        reader = csv_in.Reader(file, only_id=source.kind == Import.Kind.SEGMENT)
        source.header = reader.header
        refused = rows = 0
        for number, part in enumerate(_parts(reader.rows()), 1):
            good = [[row.line, row.cells] for row in part if not row.reason]
            bad = [[row.line, row.cells, row.reason] for row in part if row.reason]
            ImportPart.objects.create(source=source, number=number, rows=good, refused=bad, finished=not good)
            rows, refused = rows + len(part), refused + len(bad)
        if not rows:
            raise FileError(_("The file has a header and no rows."))
        reader.close()
    except FileError:
        source.delete()
        raise
    source.rows, source.refused, source.done = rows, refused, refused
    source.state = State.WAITING
    source.save()


def _parts(rows: Iterator[csv_in.Row]) -> Iterator[list[csv_in.Row]]:
    part: list[csv_in.Row] = []
    for row in rows:
        part.append(row)
        if len(part) == settings.PAGE_PEOPLE:
            yield part
            part = []
    if part:
        yield part


def is_due() -> bool:
    """Return whether an import waits for a worker."""
    return bool(_free().exists())


def _free() -> Any:
    return Import.objects.filter(state__in=[State.WAITING, State.RUNNING], lease_until__lt=time.time())


def work_one() -> bool:
    """Work one part of an import that is due; return whether there was one."""
    claim = secrets.token_hex(16)
    source = _free().order_by("lease_until", "pk").first()
    if source is None:
        return False
    # of two workers that read the same import, the second one's UPDATE finds its lease taken
    mine = _free().filter(pk=source.pk)
    if not mine.update(claim=claim, lease_until=time.time() + settings.LEASE_SECONDS, state=State.RUNNING):
        return True
    part = source.parts.filter(finished=False).order_by("number").first()
    try:
        with transaction.atomic():
            if part is None:
                _finish(source, claim)
            else:
                _work(source, part, claim)
    except _LostError:
        log.warning("import.lost", source=source.pk)
    except DatabaseError:
        raise  # the lease ends, and it is tried again
    except Exception as error:
        log.exception("import.failed", source=source.pk)
        Import.objects.filter(pk=source.pk, claim=claim).update(
            state=State.FAILED, error=f"{type(error).__name__}: {error}"[:300], finished_at=timezone.now()
        )
    if settings.PAGE_PAUSE_MS and part is not None:
        # SQLite's lock is not fair: small writers get their turn here
        time.sleep(settings.PAGE_PAUSE_MS / 1000)
    return True


def _finish(source: Import, claim: str) -> None:
    ours = Import.objects.filter(pk=source.pk, claim=claim)
    if not ours.update(state=State.DONE, lease_until=0, finished_at=timezone.now()):
        raise _LostError


def _work(source: Import, part: ImportPart, claim: str) -> None:
    rows: list[tuple[int, list[str], csv_in.Values]] = []
    refused = list(part.refused)
    with override(source.language):  # of whoever reads why rows were refused
        for line, cells in part.rows:
            try:
                rows.append((line, cells, csv_in.values(source.header, cells)))
            except ValueError as error:
                refused.append([line, cells, str(error)])
        if source.kind == Import.Kind.SEGMENT:
            made, changed = _list_people(source, rows, refused)
        else:
            made, changed = _save_people(source, rows, refused)
    if not ImportPart.objects.filter(pk=part.pk, finished=False).update(
        finished=True, rows=[], refused=sorted(refused, key=lambda one: one[0])
    ):
        raise _LostError
    ours = Import.objects.filter(pk=source.pk, claim=claim, state=State.RUNNING)
    if not ours.update(
        lease_until=0,
        done=F("done") + len(part.rows),
        made=F("made") + made,
        changed=F("changed") + changed,
        refused=F("refused") + len(refused) - len(part.refused),
    ):
        raise _LostError


def _save_people(source: Import, rows: list[Any], refused: list[Any]) -> tuple[int, int]:
    """Make and change subscribers: one read and one write for a part; cells that are empty change nothing."""
    now = timezone.now()
    ids = [values.external_id for _, _, values in rows]
    # in one order for everybody, so that two imports never wait for each other
    locked = Subscriber.objects.select_for_update().filter(
        application=source.application_id, external_id__in=ids
    )
    known = {one.external_id: one for one in locked.order_by("external_id")}
    people = []
    for line, cells, values in rows:
        person = known.get(values.external_id) or Subscriber(
            application_id=source.application_id, external_id=values.external_id, consent_at=now
        )
        attributes = {**person.attributes, **values.attributes}
        if len(attributes) > MOST_ATTRIBUTES:
            refused.append(
                [
                    line,
                    cells,
                    _("the subscriber would have more than %(most_attributes)s attributes")
                    % {"most_attributes": MOST_ATTRIBUTES},
                ]
            )
            continue
        if values.fields.get("consent", person.consent) != person.consent:
            person.consent_at = now
        for name, value in values.fields.items():
            setattr(person, name, value)
        person.attributes, person.updated_at = attributes, now
        people.append(person)
    fields = ["locale", "time_zone", "quiet_hours", "consent", "consent_at", "attributes", "updated_at"]
    people.sort(key=lambda person: person.external_id)
    Subscriber.objects.bulk_create(
        [_row(person) for person in people],
        update_conflicts=True,
        unique_fields=["application", "external_id"],
        update_fields=fields,
    )
    changed = sum(person.external_id in known for person in people)
    return len(people) - changed, changed


def _row(person: Subscriber) -> Subscriber:
    """Return a subscriber to insert: the database's answer to a conflict is what changes those that exist."""
    names = [field.attname for field in Subscriber._meta.concrete_fields if not field.primary_key]
    return Subscriber(**{name: getattr(person, name) for name in names})


def _list_people(source: Import, rows: list[Any], refused: list[Any]) -> tuple[int, int]:
    """Put subscribers that exist into the list of a segment; return how many are new there, and how many were."""
    known = dict(
        Subscriber.objects.filter(
            application=source.application_id, external_id__in=[values.external_id for _, _, values in rows]
        ).values_list("external_id", "pk")
    )
    for line, cells, values in rows:
        if values.external_id not in known:
            refused.append(
                [line, cells, _("there is no subscriber with this id; import the subscribers first")]
            )
    assert source.segment_id is not None
    members = SegmentMember.objects.filter(segment=source.segment_id)
    there = set(members.filter(subscriber__in=known.values()).values_list("subscriber_id", flat=True))
    SegmentMember.objects.bulk_create(
        [
            SegmentMember(segment_id=source.segment_id, subscriber_id=key)
            for key in sorted(set(known.values()) - there)
        ],
        ignore_conflicts=True,
    )
    return len(known) - len(there), len(there)


def cancel(source: Import) -> bool:
    """Stop an import that is not through; what is imported stays. Return whether there was anything to stop."""
    going = Import.objects.filter(pk=source.pk, state__in=[State.WAITING, State.RUNNING])
    return bool(going.update(state=State.FAILED, claim="", error=STOPPED, finished_at=timezone.now()))


def refused_rows(source: Import) -> Iterator[list[Any]]:
    """Yield the rows that were refused: line, reason, cells."""
    for part in source.parts.order_by("number").iterator(chunk_size=10):
        for line, cells, reason in part.refused:
            yield [line, reason, *cells]


def forget() -> int:
    """Delete a few files of imports that are long over, and uploads that never ended; return how many."""
    old = timezone.now() - timedelta(days=KEPT_DAYS)
    stale = timezone.now() - timedelta(hours=1)
    over = Import.objects.filter(created_at__lt=old) | Import.objects.filter(
        state=State.READING, created_at__lt=stale
    )
    gone = list(over.values_list("pk", flat=True)[:5])
    if gone:
        ImportPart.objects.filter(source__in=gone).delete()
        Import.objects.filter(pk__in=gone).delete()
    return len(gone)
