"""What becomes of a parcel's messages while it is worked: ended, tried again, held back, handed on."""

import msgspec


class Ledger(msgspec.Struct):
    """What became of a parcel's messages by index; an index that is in none of them waits."""

    ends: dict[int, tuple[str, str, str]] = {}
    """index → outcome, reason, the provider's id"""
    again: dict[int, float | None] = {}
    """index → seconds that the provider asks to wait, None for none; uses up an attempt"""
    held: dict[int, float] = {}
    """index → seconds to wait; never reached the provider, or the gate keeps it: uses up no attempt"""
    onward: dict[int, tuple[str, str, float]] = {}
    """index → the provider that pushes when the socket stays silent, what the socket did, seconds to wait"""
    dead: dict[int, float | None] = {}
    """index → since when its token is dead, where the provider says"""
    refused: int = 0
    """Refusals for now that speak of the provider."""
    slowed: float | None = None
    """Seconds that the provider asks everybody to wait."""
    unreachable: str = ""
    uncounted: int = 0
    """Messages that the provider does not count against its quota."""

    def end(self, index: int, outcome: str, reason: str, provider_id: str = "") -> None:
        self.ends[index] = (outcome, reason, provider_id)
