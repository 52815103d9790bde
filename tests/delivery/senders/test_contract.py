import msgspec
import pytest

from delivery.content import Content
from delivery.senders.contract import CredentialError, Envelope, Message

ENVELOPE = Envelope(
    run="0190f3c2-0000-7000-8000-000000000001",
    lane="critical",
    expires_at=1_900_000_000.5,
    contents=[Content(title="Ärger", data={"k": "v"}, android={"channel_id": "news"})],
    messages=[Message(7, 3, "token", "0190f3c2-0000-7000-8000-000000000002", 0, True)],
    tag="score",
)


@pytest.mark.parametrize(
    ("lane", "urgent"), [("critical", True), ("high", True), ("normal", False), ("bulk", False)]
)
def test_only_the_urgent_lanes_wake_a_device(lane: str, urgent: bool) -> None:
    assert msgspec.structs.replace(ENVELOPE, lane=lane).urgent is urgent


def test_a_reason_code_fits_its_column() -> None:
    assert len(CredentialError("x" * 100, "A sentence.").code) == 64
