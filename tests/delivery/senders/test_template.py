import msgspec
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.template import Marks

texts = st.text(st.characters(codec="utf-8"))


@given(first=texts, second=texts, other=texts)
def test_a_filled_template_is_the_payload_with_its_values(first: str, second: str, other: str) -> None:
    marks = Marks("first", "second")

    def payload(one: str, two: str) -> bytes:
        return msgspec.json.encode({"a": two, "b": [other, one], "c": {"d": two, other: other}})

    template = marks.template(payload(marks["first"], marks["second"]))
    assert template(first, second) == payload(first, second)


def test_a_template_can_be_filled_again() -> None:
    marks = Marks("name")
    template = marks.template(msgspec.json.encode({"name": marks["name"]}))
    assert [template("one"), template("two")] == [b'{"name":"one"}', b'{"name":"two"}']


def test_a_template_without_gaps_stays_as_it_is() -> None:
    assert Marks("name").template(b'{"a":1}')("unused") == b'{"a":1}'
