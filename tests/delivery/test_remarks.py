"""Remarks: stored in English, said in the language of whoever reads, and found again with their values."""

import pytest
from django.utils.translation import override

from delivery import remarks, statistics
from delivery.remarks import REMARKS, SUSPECT, said
from delivery.statistics import Arm, decide

VALUES = {
    "count": "1900",
    "answered": "2000",
    "code": "bad_device_token",
    "advice": SUSPECT["bad_device_token"],
    "user": "ada",
    "provider": "fcm",
    "path": "/tmp/fleet",
}


@pytest.mark.parametrize("remark", REMARKS)
def test_every_remark_is_found_again_and_said_in_another_language(remark: str) -> None:
    stored = remark % VALUES
    with override("en"):
        assert said(stored) == stored.replace("1900", "1,900").replace("2000", "2,000")
    with override("de"):
        told = said(stored)
    assert told != stored and "%(" not in told


def test_values_are_written_as_the_language_does() -> None:
    stored = remarks.REFUSED_TOKENS % VALUES
    with override("de"):
        assert "1.900" in said(stored) and SUSPECT["bad_device_token"] not in said(stored)


def test_what_a_person_wrote_stays() -> None:
    with override("de"):
        for text in ("", "Run", "Black Friday: wait for Ada", "60 of 100 tokens were refused"):
            assert said(text) == text


@pytest.mark.parametrize(
    "arms",
    [
        [],
        [Arm("A", 5, 1), Arm("B", 5, 1)],
        [Arm("A", 500, 1), Arm("B", 500, 1)],
        [Arm("A", 500, 50), Arm("B", 500, 51), Arm("C", 500, 52)],
        [Arm("A", 5_000, 50), Arm("B", 5_000, 500)],
    ],
)
def test_a_stored_decision_is_said_as_it_would_be_made_now(arms: list[Arm]) -> None:
    with override("en"):
        stored = decide(arms).because
    with override("de"):
        assert said(stored, statistics.REMARKS) == decide(arms).because != stored
