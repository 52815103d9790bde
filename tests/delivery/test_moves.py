"""The tables of what may become of runs, pages and parcels: no statement does anything else, in whatever order."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from delivery import bell, claims, dbclock, deadletters, gates, runs
from delivery.claims import MOVES
from delivery.models import Page, Parcel, Run, WorkState
from delivery.runs import TRANSITIONS
from tests.delivery import world

pytestmark = pytest.mark.django_db(databases=["default", "log"])
NOW = 1_790_000_000.0
OPENING = {"work": "waiting", "run": "running"}
ENDS = {"work": {"done", "cancelled"}, "run": {"done", "cancelled"}}
TABLES: dict[str, dict[str, tuple[tuple[Any, ...], Any]]] = {"work": MOVES, "run": TRANSITIONS}


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_only_ends_are_final(name: str) -> None:
    ways = {(str(before), str(after)) for froms, after in TABLES[name].values() for before in froms}
    reached = {OPENING[name]}
    while more := {after for before, after in ways if before in reached} - reached:
        reached |= more
    assert {before for before, _ in ways if before in reached} == reached - ENDS[name]
    assert reached >= ENDS[name]
    if name == "work":
        assert reached == set(WorkState.values)


class Desk:
    """One piece, the clock, and everybody who has ever claimed it."""

    def __init__(self, piece: Page | Parcel, patch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        self.model, self.pk, self.run = type(piece), piece.pk, piece.run
        self.hands: list[Any] = []
        patch.setattr(dbclock, "now", lambda: self.now)

    @property
    def row(self) -> Any:
        return self.model._default_manager.get(pk=self.pk)

    def do(self, what: str, which: int) -> None:
        """Do one thing; `which` of those who hold it, or did, does it."""
        hand = self.hands[which % len(self.hands)] if self.hands else None
        if what == "time passes":
            self.now += 20.0
        elif what == "claim":
            taken = (
                claims.claim_page("normal", f"worker {which}")
                if self.model is Page
                else claims.claim_parcel("fcm", "normal", f"worker {which}")
            )
            self.hands += [taken] if taken is not None else []
        elif what == "cancel the run":
            if Run.objects.get(pk=self.run.pk).state == Run.State.RUNNING:
                runs.cancel(self.run)
        elif what == "take what is left":
            runs.finish_due()
        elif what == "requeue":
            try:
                deadletters.requeue(self.row, by="eve")
            except deadletters.NotDeadError:
                return
        elif what == "take dead":
            dead = claims.take_dead(self.row, "eve")
            self.hands += [dead] if dead is not None else []
        elif hand is not None:
            self._by_worker(what, hand)

    def _by_worker(self, what: str, hand: Any) -> None:
        before = self.row
        newest = hand.fence == before.fence and before.state == WorkState.CLAIMED
        work = {
            "close": lambda: claims.close(hand),
            "fail": lambda: claims.fail(hand, "it failed"),
            "put back": lambda: claims.put_back(hand, due_at=self.now),
            "bury": lambda: claims.bury(hand, "it is poison"),
            "renew": lambda: claims.renew(hand),
        }[what]
        if newest:
            work()
            return
        with pytest.raises(claims.LeaseLostError):
            work()
        after = self.row
        assert (after.state, after.fence, after.lease_until) == (
            before.state,
            before.fence,
            before.lease_until,
        )


DOINGS = [
    "claim", "claim", "claim", "time passes", "time passes", "time passes", "close", "fail", "put back",
    "bury", "renew", "cancel the run", "take what is left", "requeue", "take dead",
]  # fmt: skip


@examples(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from([Page, Parcel]),
    doings=st.lists(st.tuples(st.sampled_from(DOINGS), st.integers(0, 5)), min_size=15, max_size=40),
)
def test_whatever_is_done_in_whatever_order_follows_the_table_and_the_newest_fence(
    monkeypatch: pytest.MonkeyPatch, kind: type[Page] | type[Parcel], doings: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(bell, "ring", lambda stage, lane: None)
    monkeypatch.setattr(gates, "barred", lambda provider, lane: [])
    Run.objects.all().delete()
    ways = {(str(before), str(after)) for froms, after in MOVES.values() for before in froms}
    with monkeypatch.context() as patch:
        desk = Desk(_piece(kind), patch)
        for what, which in doings:
            before = desk.row
            desk.do(what, which)
            after = desk.row
            if (before.state, before.fence) != (after.state, after.fence):
                assert (before.state, after.state) in ways, what
                assert after.fence - before.fence == (after.state == WorkState.CLAIMED), what
            assert before.state not in ENDS["work"] or after.state == before.state
            if after.state == WorkState.CLAIMED and after.fence != before.fence:
                assert before.state != WorkState.CLAIMED or before.lease_until < desk.now, "a lease is kept"


def _piece(kind: type[Page] | type[Parcel]) -> Page | Parcel:
    """Return a page, or a parcel, of a run of its own."""
    app = world.Application.objects.filter(slug="shop").first() or world.application()
    run = Run.objects.create(
        application=app,
        origin="test",
        title="Test",
        kind="direct",
        lane="normal",
        state="running",
        snapshot={},
    )
    values = {"run": run, "application": app, "lane": "normal", "due_at": NOW - 1, "created_at": NOW - 1}
    page = Page.objects.create(**values, kind="people", state="done" if kind is Parcel else "waiting")
    return page if kind is Page else Parcel.objects.create(**values, page=page, provider="fcm", size=1)
