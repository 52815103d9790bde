"""CEL expressions: what is refused when saved, and what they say about an event."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from campaigns.rules import FUNCTIONS, EvaluationError, RuleError, compile_expression


def _value(text: str, **event: Any) -> Any:
    return compile_expression(text).evaluate({"event": event})


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("event.data.total >", 1, 19, "ends too early"),
        ("event.data.a > 1 &&\n event.data.b >", 2, 16, "ends too early"),
        ("event.data.a b", 1, 14, "unexpected 'b'"),
        ("evnt.data.total > 1", 1, 1, "unknown name “evnt”"),
        ("event.id == 'x' || siz(event.data) > 1", 1, 20, "did you mean “size”"),
        ("   ", 1, 1, "empty"),
    ],
)
def test_an_expression_that_does_not_compile_says_where_and_why(
    text: str, line: int, column: int, reason: str
) -> None:
    with pytest.raises(RuleError) as refused:
        compile_expression(text)
    assert (refused.value.line, refused.value.column) == (line, column)
    assert reason in refused.value.reason
    assert f"line {line}, column {column}" in str(refused.value)


def test_a_condition_reads_the_data() -> None:
    assert _value("event.data.total > 100 && event.type == 'a'", data={"total": 101}, type="a") is True
    assert _value("has(event.data.total) && event.data.total > 100", data={}) is False
    assert _value(
        "event.data.orders.exists(o, o.items.exists(i, i == 2))", data={"orders": [{"items": [1, 2]}]}
    )


@pytest.mark.parametrize(
    ("text", "data", "reason"),
    [
        ("event.data.total > 1", {}, "no field total"),
        ("event.data.total > 1", {"total": "many"}, "another kind"),
        ("event.data.list[7]", {"list": []}, "out of bounds"),
        ("1 / event.data.zero", {"zero": 0}, "ivision by zero"),
    ],
)
def test_what_cannot_be_evaluated_gives_a_sentence(text: str, data: Any, reason: str) -> None:
    with pytest.raises(EvaluationError, match=reason):
        _value(text, data=data)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_that_is_offered_is_known_to_the_language(name: str) -> None:
    said = []
    for call in (f"{name}(event.t)", f"event.t.{name}(event.t)", f"event.t.{name}()"):
        for value in ("a", datetime(2026, 1, 1, tzinfo=UTC)):
            try:
                said.append(str(_value(call, t=value)))
            except EvaluationError as error:
                said.append(str(error))
    assert any("Undefined" not in one for one in said)


@pytest.mark.parametrize(
    "text",
    [
        "event.data.all(a, a.all(b, b.all(c, true)))",
        "event.data. // ' a quote in a comment\n all(a, a. // '\n all(b, b. // x\n all(c, true)))",
        "r'\\'.size() == 1 || event.data.all(a, a.all(b, b.all(c, true)))",
        " && ".join(["event.data.exists(a, true)"] * 6),
    ],
)
def test_macros_are_counted_whatever_hides_them(text: str) -> None:
    with pytest.raises(RuleError, match="macros"):
        compile_expression(text)


def test_a_text_that_looks_like_a_macro_is_none() -> None:
    assert _value("'.all(.all(.all(.all(.all(.all(' == event.id", id="") is False


def test_an_expression_cannot_hold_up_its_lane() -> None:
    expression = compile_expression("event.data.all(a, event.data.all(b, a + b >= 0))")
    begun = time.monotonic()
    with pytest.raises(EvaluationError, match="too long"):
        expression.evaluate({"event": {"data": list(range(20_000))}})
    assert expression.evaluate({"event": {"data": [1, 2, 3]}}) is True
    assert time.monotonic() - begun < 1


def test_the_same_text_is_compiled_once() -> None:
    assert compile_expression("event.id == 'x'") is compile_expression("event.id == 'x'")
