"""Problem details (RFC 9457) as a value, for every room to refuse with."""

from typing import Any

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """What was wrong: `status` is HTTP's, `code` names the kind, `detail` says what to do.

    `pointer` (RFC 6901) is the place in the document that was sent, empty when there is none.
    """

    status: int
    code: str
    title: str
    detail: str
    pointer: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as it is sent; the type is a relative reference (RFC 9457 section 3.1.1)."""
        told: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.pointer:
            told["pointer"] = self.pointer
        return told
