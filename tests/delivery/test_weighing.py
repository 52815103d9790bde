"""Data that no provider takes is found before a launch, with its place and its bytes."""

from typing import Any

import pytest

from delivery.snapshot import Snapshot, Text
from delivery.weighing import too_large

BIG = {"k": "v" * 4_200}
ALL = ("fcm", "apns", "webpush")


def snapshot(**values: Any) -> Snapshot:
    return Snapshot(**{"texts": {"en": Text(title="T", body="B")}, **values})


def test_what_fits_is_no_fault_and_asks_nobody_for_providers() -> None:
    def asked() -> Any:
        raise AssertionError("not needed")
        yield

    assert too_large(snapshot(), asked()) is None


def test_a_long_text_is_no_fault_since_it_is_cut() -> None:
    assert (
        too_large(snapshot(texts={"en": Text(title="T", body="B" * 4_000, data={"k": "v" * 3_000})}), ALL)
        is None
    )


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"texts": {"en": Text(title="T", data=BIG)}}, "data"),
        ({"texts": {"en": Text(title="T"), "de": Text(data=BIG)}}, "locales.de"),
        ({"overrides": {"ios": Text(data=BIG)}}, "overrides.ios"),
        ({"texts": {"en": Text(title="T", ios={"content_state": BIG})}}, "ios"),
    ],
)
def test_data_that_is_too_large_is_told_with_its_place_and_bytes(values: dict[str, Any], field: str) -> None:
    found = too_large(snapshot(**values), ALL)
    assert found is not None and found.field == field
    assert (
        found.size > 4_200 and f"{found.size:,} bytes" in found.reason and f"{found.limit:,}" in found.reason
    )


def test_only_the_applications_own_providers_count() -> None:
    medium = snapshot(texts={"en": Text(title="T", data={"k": "v" * 3_890})})
    found = too_large(medium, ALL)
    assert found is not None and found.provider == "webpush"
    assert too_large(medium, ("fcm", "apns")) is None


def test_only_the_platforms_that_it_is_for_count() -> None:
    big = snapshot(texts={"en": Text(title="T", data=BIG)}, platforms=["ios"])
    found = too_large(big, ("fcm", "webpush"))
    assert found is not None and found.provider == "fcm"
    assert too_large(big, ("webpush",)) is None
