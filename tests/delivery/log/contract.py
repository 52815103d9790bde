"""What every log store must do: the same tests for each, run by a class that gives the fixture `store`."""

import time
import uuid

import msgspec
import pytest

from delivery import positions
from delivery.log.store import LogEntry, LogStore, NewOutcome, OutcomeRow, ReceiptRow
from tests.delivery.log.writing import append, write_outcomes, write_receipts

NOW = float(int(time.time()))


def entry(
    subscriber: uuid.UUID, stamp: float, *, run: uuid.UUID | None = None, body: bytes = b"body"
) -> LogEntry:
    identity = uuid.uuid4()
    return LogEntry(
        subscriber, positions.position(stamp, identity.bytes), identity, run or uuid.uuid4(), body
    )


def outcome(subscriber: uuid.UUID, device: uuid.UUID, run: uuid.UUID, **values: object) -> OutcomeRow:
    fields = {
        "subscriber": subscriber,
        "notification": uuid.uuid5(run, subscriber.hex),
        "device": device,
        "run": run,
        "outcome": "sent",
        "reason": "accepted",
        "provider_id": "p1",
        "version": 1001,
        "at": NOW,
    }
    return OutcomeRow(**{**fields, **values})  # type: ignore[arg-type]


class LogStoreContract:
    """The contract. Every test uses subscribers of its own, so that stores need not be emptied."""

    @pytest.fixture
    def subscriber(self) -> uuid.UUID:
        return uuid.uuid4()

    def test_entries_come_back_in_order_of_position(self, store: LogStore, subscriber: uuid.UUID) -> None:
        entries = [entry(subscriber, NOW - age) for age in (5, 1, 3, 0, 2)]
        append(entries, store)
        expected = sorted(entries, key=lambda each: each.position)
        assert store.read(subscriber, after=positions.START, limit=10) == expected
        assert store.newest(subscriber, before=None, limit=3) == expected[::-1][:3]

    def test_reading_goes_on_behind_a_position(self, store: LogStore, subscriber: uuid.UUID) -> None:
        entries = sorted((entry(subscriber, NOW - age) for age in range(7)), key=lambda each: each.position)
        append(entries, store)
        first = store.read(subscriber, after=positions.START, limit=3)
        rest = store.read(subscriber, after=first[-1].position, limit=10)
        assert first + rest == entries
        assert store.newest(subscriber, before=entries[3].position, limit=10) == entries[:3][::-1]

    def test_the_entries_of_several_since_an_instant_are_read_back(self, store: LogStore) -> None:
        people = [uuid.uuid4() for _ in range(3)]
        written = [entry(person, NOW - age) for person in people for age in (50, 20, 1)]
        append(written, store)
        found = set(store.since(people[:2], positions.floor(NOW - 30)))
        assert found == {
            (one.subscriber, one.notification, one.run, one.position)
            for one in written
            if one.subscriber in people[:2] and positions.stamp_of(one.position) > NOW - 30
        }
        assert list(store.since([], positions.floor(NOW))) == []

    def test_the_runs_of_notifications_are_found_and_others_are_not(self, store: LogStore) -> None:
        people = [uuid.uuid4() for _ in range(3)]
        written = [entry(person, NOW - age) for person in people for age in (40 * 86_400, 20, 1)]
        append(written, store)
        asked = [
            (one.subscriber, one.notification) for one in written if one.position > positions.floor(NOW - 30)
        ]
        stranger = (people[0], written[-1].notification)
        found = store.runs_of([*asked, stranger])
        assert found == {
            (one.subscriber, one.notification): one.run
            for one in written
            if (one.subscriber, one.notification) in asked
        }
        assert store.runs_of([]) == {}

    def test_entries_of_one_instant_are_all_kept(self, store: LogStore, subscriber: uuid.UUID) -> None:
        entries = [entry(subscriber, NOW) for _ in range(20)]
        append(entries, store)
        assert store.read(subscriber, after=positions.START, limit=50) == sorted(
            entries, key=lambda each: each.position
        )

    def test_a_log_reaches_over_the_months(self, store: LogStore, subscriber: uuid.UUID) -> None:
        entries = [entry(subscriber, NOW - age * 86_400) for age in (29, 15, 0)]
        append(entries, store)
        assert store.read(subscriber, after=positions.START, limit=10) == entries
        assert store.newest(subscriber, before=None, limit=10) == entries[::-1]
        assert store.read(subscriber, after=entries[0].position, limit=1) == entries[1:2]

    def test_the_same_entries_again_change_nothing(self, store: LogStore, subscriber: uuid.UUID) -> None:
        entries = [entry(subscriber, NOW - age) for age in (2, 1)]
        append(entries, store)
        append(entries, store)
        assert store.read(subscriber, after=positions.START, limit=10) == entries

    def test_an_entry_stamped_anew_stands_twice_under_one_identity(
        self, store: LogStore, subscriber: uuid.UUID
    ) -> None:
        first = entry(subscriber, NOW - 60)
        again = LogEntry(
            subscriber,
            positions.position(NOW, first.notification.bytes),
            first.notification,
            first.run,
            first.body,
        )
        append([first], store)
        append([again], store)
        assert store.read(subscriber, after=positions.START, limit=10) == [first, again]
        assert set(store.identities(first.run)) == {(subscriber, first.notification)}

    def test_nobody_reads_anothers_log(self, store: LogStore, subscriber: uuid.UUID) -> None:
        append([entry(uuid.uuid4(), NOW)], store)
        assert store.read(subscriber, after=positions.START, limit=10) == []

    def test_many_entries_of_many_people_are_stored_at_once(self, store: LogStore) -> None:
        run = uuid.uuid4()
        entries = [entry(uuid.uuid4(), NOW, run=run, body=b"x" * 300) for _ in range(777)]
        append(entries, store)
        assert set(store.identities(run)) == {(each.subscriber, each.notification) for each in entries}

    def test_nothing_is_stored_without_rows(self, store: LogStore) -> None:
        store.append([], run=uuid.uuid4(), stamp=NOW)
        store.write_outcomes([], run=uuid.uuid4(), version=1, at=NOW)
        store.write_receipts([])

    def test_of_two_outcomes_the_later_version_stands_whichever_came_first(
        self, store: LogStore, subscriber: uuid.UUID
    ) -> None:
        device, run = uuid.uuid4(), uuid.uuid4()
        old = outcome(subscriber, device, run, outcome="failed", reason="internal", version=1001)
        new = outcome(subscriber, device, run, version=1002)
        write_outcomes([new], store)
        write_outcomes([old], store)
        assert store.outcomes([(0, subscriber)], run) == [new]
        assert store.outcomes([(0, subscriber)], uuid.uuid4()) == []

    def test_what_a_page_came_to_is_read_for_some_of_its_people(self, store: LogStore) -> None:
        run, people = uuid.uuid4(), [(key, uuid.uuid4()) for key in range(1_000, 1_500)]
        by_provider = [
            [outcome(uid, uuid.uuid4(), run, reason=provider) for _, uid in people]
            for provider in ("fcm", "apns")
        ]
        for rows in by_provider:  # two parcels of one version, to the same people
            new = [
                NewOutcome(
                    key, uid.bytes, row.notification.bytes, row.device.bytes, row.outcome, row.reason, "p1"
                )
                for (key, uid), row in zip(people, rows, strict=True)
            ]
            store.write_outcomes(new, run=run, version=1001, at=NOW)
            store.write_outcomes(new, run=run, version=1001, at=NOW)
        for some in ([people[0]], people[77:79], [people[3], people[-1]]):
            wanted = {uid for _, uid in some}
            found = store.outcomes(some, run)
            assert len(found) == 2 * len(some)
            assert {row for rows in by_provider for row in rows if row.subscriber in wanted} == set(found)
        assert store.outcomes([], run) == []

    def test_the_later_version_of_one_message_stands_beside_those_it_was_with(self, store: LogStore) -> None:
        run, people = uuid.uuid4(), [(key, uuid.uuid4()) for key in range(5)]
        rows = [outcome(uid, uuid.uuid4(), run, outcome="failed", reason="internal") for _, uid in people]
        new = [
            NewOutcome(key, uid.bytes, row.notification.bytes, row.device.bytes, row.outcome, row.reason)
            for (key, uid), row in zip(people, rows, strict=True)
        ]
        again = NewOutcome(3, *msgspec.structs.astuple(new[3])[1:4], "sent", "accepted")
        store.write_outcomes([again], run=run, version=1002, at=NOW + 1)
        store.write_outcomes(new, run=run, version=1001, at=NOW)
        found = {row.subscriber: row for row in store.outcomes(people, run)}
        assert [found[uid].outcome for _, uid in people] == ["failed", "failed", "failed", "sent", "failed"]
        assert found[people[3][1]].version == 1002

    def test_outcomes_of_many_devices_with_long_reasons_fit(
        self, store: LogStore, subscriber: uuid.UUID
    ) -> None:
        run = uuid.uuid4()
        new = [
            NewOutcome(
                7, subscriber.bytes, run.bytes, uuid.uuid4().bytes, "cancelled", "r" * 64, f"{number:0255}"
            )
            for number in range(500)
        ]
        store.write_outcomes(new, run=run, version=1001, at=NOW)
        assert len(store.outcomes([(7, subscriber)], run)) == 500

    def test_a_receipt_is_kept_once_with_its_first_time(self, store: LogStore, subscriber: uuid.UUID) -> None:
        notification, device = uuid.uuid4(), uuid.uuid4()
        first = ReceiptRow(subscriber, notification, device, "acknowledged", NOW)
        write_receipts([first], store)
        write_receipts([ReceiptRow(subscriber, notification, device, "acknowledged", NOW + 9)], store)
        opened = ReceiptRow(subscriber, notification, device, "opened", NOW + 1)
        write_receipts([opened], store)
        found = store.receipts(subscriber, [notification])
        assert [(row.kind, row.device) for row in found] == [("acknowledged", device), ("opened", device)]
        assert found[0].at == pytest.approx(NOW, abs=0.002)

    def test_receipts_of_many_people_are_read_at_once(self, store: LogStore, subscriber: uuid.UUID) -> None:
        other, shared, device = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        mine = ReceiptRow(subscriber, shared, device, "acknowledged", NOW)
        theirs = ReceiptRow(other, uuid.uuid4(), device, "displayed", NOW)
        of_nobody_asked = ReceiptRow(other, shared, device, "read", NOW)
        write_receipts([mine, theirs, of_nobody_asked], store)
        found = store.receipts_of([(subscriber, shared), (other, theirs.notification), (other, uuid.uuid4())])
        assert {(row.subscriber, row.notification, row.device, row.kind) for row in found} == {
            (row.subscriber, row.notification, row.device, row.kind) for row in (mine, theirs)
        }
        assert store.receipts_of([]) == []

    def test_unread_is_what_is_neither_read_nor_archived_nor_recalled(self, store: LogStore) -> None:
        eva, tom, ida = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        recalled = uuid.uuid4()
        entries = [entry(eva, NOW - age) for age in range(5)]
        append([*entries, entry(eva, NOW, run=recalled), entry(tom, NOW), entry(ida, NOW)], store)
        twice = entries[4]
        again = positions.position(NOW + 1, twice.notification.bytes)
        append([LogEntry(eva, again, twice.notification, twice.run, b"body")], store)
        for at, state in enumerate(("read", "archived", "unread")):
            store.mark(eva, [entries[at].notification], state, NOW)
        found = store.unread([eva, tom], besides=[entries[3].notification], recalled=[recalled], limit=100)
        assert found == {eva: 2, tom: 1}
        assert store.unread([], besides=[], recalled=[], limit=100) == {}

    def test_marks_say_what_a_subscriber_has_read(self, store: LogStore, subscriber: uuid.UUID) -> None:
        read, archived, unread = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        store.mark(subscriber, [read, archived], "read", NOW)
        store.mark(subscriber, [archived], "archived", NOW + 1)
        assert store.marks(subscriber, [read, archived, unread]) == {read: "read", archived: "archived"}

    def test_a_healthy_store_passes_its_own_check(self, store: LogStore) -> None:
        store.check()
