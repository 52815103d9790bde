"""Names in texts that nobody knows."""

from campaigns.suggestions import suggest
from delivery.snapshot import Snapshot, Text


def said(title: str, *known: str, **values: str) -> list[tuple[str, int, str, str]]:
    snapshot = Snapshot(texts={"en": Text(title=title, **values)})
    return [tuple(one) for one in suggest(snapshot, known)]  # type: ignore[misc]


def test_a_name_with_a_typo_is_found_with_its_line() -> None:
    assert said("Hi", "first_name", body="one\n{{ first_nam }}") == [
        ("texts.en.body", 2, "first_nam", "first_name")
    ]


def test_what_is_known_is_not_questioned() -> None:
    known = "{{ first_name }} {{ address.city }} {{ subscriber.external_id }} {{ event.data.order }}"
    assert (
        said(known + "{% for x in orders %}{{ x.name }}{% endfor %}", "first_name", "address.city", "orders")
        == []
    )
    assert said("{% assign total = 1 %}{{ total }}", "first_name") == []


def test_a_part_of_the_subscriber_that_there_is_not_is_found() -> None:
    assert said("{{ subscriber.local }}", "first_name")[0][3] == "subscriber.locale"


def test_without_any_subscriber_nothing_is_known() -> None:
    assert said("{{ first_nam }}") == []


def test_every_place_of_a_text_is_looked_at() -> None:
    snapshot = Snapshot(
        texts={"en": Text(title="x", data={"k": "{{ nme }}"}), "de": Text(link="https://x/{{ nme }}")},
        overrides={"tv": Text(body="{{ nme }}")},
    )
    assert [one.field for one in suggest(snapshot, ["name"])] == [
        "texts.en.data.k",
        "texts.de.link",
        "overrides.tv.body",
    ]
    assert suggest(snapshot, ["name"])[0].sentence == "`nme`: did you mean `name`?"
