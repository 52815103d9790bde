"""Whether a parcel on its way may start further messages: read anew twice a second while it is sent."""

import time

from delivery.models import Parcel, Run, held

CHECK_EVERY = 0.5
"""Seconds between two readings: with what is under way at a provider then, a stop acts within two."""


class Watch:
    """Asked before each message; `word` says why nothing more is started, empty while all is well.

    `word` is an outcome's reason (`cancelled`, `recalled`) when the messages are to end, `waits`
    when they are to be sent another time.
    """

    def __init__(self, parcel: Parcel) -> None:
        self.word = ""
        self._parcel = parcel
        self._read_at = time.monotonic()

    def go_on(self) -> bool:
        """Return whether another message may be started."""
        if not self.word and time.monotonic() - self._read_at > CHECK_EVERY:
            self.word = self._read()
            self._read_at = time.monotonic()
        return not self.word

    def _read(self) -> str:
        parcel = Parcel.objects.filter(pk=self._parcel.pk).annotate(held=held())
        row = parcel.values_list("run__state", "run__recalled_at", "held").first()
        if row is None:
            return "waits"
        state, recalled_at, stopped = row
        if recalled_at is not None:
            return "recalled"
        if state == Run.State.CANCELLED:
            return "cancelled"
        return "waits" if stopped or state != Run.State.RUNNING else ""
