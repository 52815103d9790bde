"""Verdicts: what stands beside a reason is kept in English and said in the language of whoever looks."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone
from django.utils.translation import override

from campaigns import reasons, rules
from campaigns.deciding import said
from campaigns.engine import decide
from campaigns.models import Decision, Event, Rule
from campaigns.rules import RuleError, compile_expression
from devices.models import Subscriber

VALUES = {
    "age": "7200",
    "most": "3600",
    "value": "'seven'",
    "count": "1900",
    "answered": "2000",
    "at": "2026-11-27 08:30:00 UTC",
    "version": "3",
    "error": "Expected `object`",
    "line": "1",
    "column": "20",
    "reason": rules.EMPTY,
    "name": "siz",
    "hint": rules.DID_YOU_MEAN % {"near": "size"},
    "near": "size",
    "listed": "all, map",
    "macros_limit": "5",
    "nesting_limit": "2",
    "found": "'b'",
    "args": "total",
}


@pytest.mark.parametrize("remark", [*reasons.REMARKS, *rules.REMARKS])
def test_every_remark_of_a_decision_is_found_again_and_said_in_another_language(remark: str) -> None:
    stored = remark % VALUES
    with override("en"):
        grouped = {"7200": "7,200", "3600": "3,600", "1900": "1,900", "2000": "2,000"}
        expected = stored
        for plain, written in grouped.items():
            expected = expected.replace(plain, written)
        assert said(stored) == expected
    with override("de"):
        assert said(stored) != stored and "%(" not in said(stored)


def test_a_remark_within_a_remark_is_said_too() -> None:
    with override("en"), pytest.raises(RuleError) as refused:
        compile_expression("event.id == 'x' || siz(event.data) > 1")
    with override("de"):
        assert said(str(refused.value)) == (
            "Zeile 1, Spalte 20: unbekannte Funktion „siz“; meinten Sie „size“?"
        )


def test_an_instant_is_said_on_the_readers_clock() -> None:
    with override("de"), timezone.override("Europe/Berlin"):
        assert said("until 2026-11-27 08:30:00 UTC") == "bis 2026-11-27 09:30:00 Europe/Berlin"
    assert said("until 2026-11-27 08:30:00 UTC") == "until 2026-11-27 08:30:00 UTC"
    assert said("until tomorrow") == "until tomorrow"


@pytest.mark.parametrize(
    ("rule", "attributes", "stored", "german"),
    [
        (
            {"max_age": 3_600},
            {"time": datetime(2026, 1, 1, tzinfo=UTC).isoformat()},
            "s old, 3600 s are allowed",
            "s alt, erlaubt sind 3.600 s",
        ),
        (
            {"condition": "event.data.missing > 7"},
            {},
            "The event has no field missing.",
            "Das Ereignis hat kein Feld missing.",
        ),
        (
            {"condition": "event.data.order"},
            {},
            "the condition gives 7, not true or false",
            "die Bedingung ergibt 7 statt wahr oder falsch",
        ),
        (
            {"recipients": "ids", "recipient_ids": "['anna', 'nobody']"},
            {},
            "1 of 2 are no subscribers",
            "1 von 2 sind keine Abonnenten",
        ),
        ({"delay": 60}, {}, "until 20", "bis 20"),
    ],
)
def test_whatever_language_a_worker_speaks_english_is_kept(
    take: Callable[..., Event],
    make_rule: Callable[..., Rule],
    anna: Subscriber,
    rule: dict[str, Any],
    attributes: dict[str, Any],
    stored: str,
    german: str,
) -> None:
    with override("ja"):
        make_rule(**rule)
        take(**attributes)
        assert decide("high") == 1
    kept = Decision.objects.get().detail
    assert stored in kept
    with override("de"):
        assert german in said(kept)


def test_a_rule_that_no_longer_compiles_is_told_in_the_readers_language(
    take: Callable[..., Event], make_rule: Callable[..., Rule], anna: Subscriber
) -> None:
    made = make_rule()
    Rule.objects.filter(pk=made.pk).update(condition="evnt.data > 1")
    with override("ja"):
        take()
        assert decide("high") == 1
    kept = Decision.objects.get().detail
    assert kept == "line 1, column 1: unknown name “evnt”; an expression sees “event” alone"
    with override("de"):
        assert said(kept).startswith("Zeile 1, Spalte 1: unbekannter Name „evnt“")
