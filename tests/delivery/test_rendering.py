"""From Liquid texts to content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import rendering
from delivery.rendering import Renderer, RenderError
from delivery.snapshot import Snapshot, Text


def snapshot(title: str = "", body: str = "b", **more: object) -> Snapshot:
    return Snapshot(texts={"en": Text(title=title, body=body)}, **more)  # type: ignore[arg-type]


def title(source: str, **variables: object) -> str:
    return Renderer(snapshot(source)).render("en", "", variables).title


@pytest.mark.parametrize(
    ("source", "variables", "expected"),
    [
        ("Hi {{ first_name }}!", {"first_name": "Ada"}, "Hi Ada!"),
        ("{{ points }} points", {"points": 12}, "12 points"),
        ("{{ missing }}.", {}, "."),
        ("{{ on }}", {"on": True}, "true"),
        ("{{ first_name | upcase }}", {"first_name": "Ada"}, "ADA"),
        ("{{ event.data.order }}", {"event": {"data": {"order": "A-7"}}}, "A-7"),
        ("{% if points > 10 %}rich{% else %}poor{% endif %}", {"points": 11}, "rich"),
        ("{ not liquid }", {}, "{ not liquid }"),
        ("{{ a }}{{ b }}", {"a": "1", "b": None}, "1"),
    ],
)
def test_texts_are_rendered(source: str, variables: dict[str, object], expected: str) -> None:
    assert title(source, **variables) == expected


VALUES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.lists(st.integers(), max_size=3)
)


@given(
    VALUES,
    VALUES,
    st.text(alphabet="ab {}%", max_size=6).filter(lambda text: "{{" not in text and "{%" not in text),
)
def test_the_direct_way_writes_what_liquid_writes(a: object, b: object, text: str) -> None:
    source = "x {{ a }} " + text + " {{ b }}"
    try:
        expected = rendering._liquid.from_string(source).render(a=a, b=b)
    except Exception:
        return
    assert title(source, a=a, b=b) == expected


NESTED = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(st.sampled_from(["x", "y", "size", "first", "a-b"]), inner, max_size=3),
    max_leaves=5,
)


@given(NESTED, NESTED)
def test_the_direct_way_finds_what_liquid_finds_within_objects(a: object, b: object) -> None:
    source = "{{ a.x }}|{{ a.x.y }}|{{ b.y.x.y }}|{{ a['a-b'].x }}|{{ missing.x }}"
    for whole in (source, source + "|{{ b.size }}|{{ a.x.first }}"):
        try:
            expected = rendering._liquid.from_string(whole).render(a=a, b=b)
        except Exception:
            continue
        assert title(whole, a=a, b=b) == expected[: rendering.TITLE_LIMIT]


@pytest.mark.parametrize(
    ("source", "direct"), [("{{ a.x.y }}", True), ("{{ a.size }}", False), ("{{ a[0] }}", False)]
)
def test_paths_of_keys_go_the_direct_way(source: str, direct: bool) -> None:
    assert (rendering._Template("title", source).straight is not None) is direct


def test_a_locale_falls_back_to_its_language_and_then_to_the_default() -> None:
    texts = {"en": Text(title="en"), "pt": Text(title="pt"), "pt-BR": Text(title="br")}
    renderer = Renderer(Snapshot(texts=texts))
    found = [renderer.locale(wanted) for wanted in ("pt-BR", "pt_br", "pt-PT", "de", "")]
    assert found == ["pt-br", "pt-br", "pt", "en", "en"]


def test_a_locale_without_a_body_keeps_the_default_one() -> None:
    renderer = Renderer(Snapshot(texts={"en": Text(title="Hello", body="Body"), "de": Text(title="Hallo")}))
    content = renderer.render("de", "", {})
    assert (content.title, content.body) == ("Hallo", "Body")


def test_an_override_changes_only_its_fields_on_its_platform() -> None:
    renderer = Renderer(
        snapshot("Hi", "there", overrides={"tv": Text(title="On TV", data={"screen": "big"})})
    )
    tv, phone = renderer.render("en", "tv", {}), renderer.render("en", "android", {})
    assert (tv.title, tv.body, tv.data) == ("On TV", "there", {"screen": "big"})
    assert (phone.title, phone.data) == ("Hi", {})


def test_what_depends_on_nobody_is_rendered_once() -> None:
    renderer = Renderer(snapshot("Sale"))
    assert renderer.constant
    assert renderer.render("en", "", {"a": 1}) is renderer.render("en", "", {"a": 2})


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("one\n{{ name ", 2, "expected '}}'"),
        ("{{ name | shout }}", 1, "unknown filter 'shout'"),
        ("{{ name | defualt: 'you' }}", 1, "unknown filter 'defualt': did you mean `default`?"),
        ("{% if a %}", 1, ""),
        ("a\nb\n{% nothing %}", 3, "nothing"),
        ("{{ 'a' | divided_by: 0 }}", 1, "divide by 0"),
    ],
)
def test_a_text_that_cannot_be_rendered_is_named_with_line_and_reason(
    source: str, line: int, reason: str
) -> None:
    [problem] = rendering.check(snapshot("ok", source))
    assert problem.field == "texts.en.body"
    assert problem.line == line
    assert reason in problem.reason


def test_a_filter_that_is_like_none_is_not_taken_for_another() -> None:
    [problem] = rendering.check(snapshot("ok", "{{ name | shout }}"))
    assert problem.reason == "unknown filter 'shout'"


def test_an_unknown_filter_is_found_in_a_branch_that_is_not_taken() -> None:
    assert rendering.check(snapshot("{% if never %}{{ a | shout }}{% endif %}"))


def test_a_hostile_text_is_stopped_by_its_limits() -> None:
    [problem] = rendering.check(
        snapshot("{% for i in (1..100000000) %}{% for j in (1..100000) %}x{% endfor %}{% endfor %}")
    )
    assert "limit" in problem.reason


@pytest.mark.parametrize(
    ("source", "link", "refused"),
    [
        ("{{ link }}", "javascript:alert(1)", True),
        ("{{ link }}", " java\u200bscript:alert(1)", True),
        ("{{ link | strip }}", "DATA:text/html,x", True),
        ("java{{ link }}", "script:alert(1)", True),
        ("{{ link }}", "https://example.com/?q=javascript:", False),
        ("{{ link }}", "shop://offers", False),
        ("https://example.com/{{ link }}", "javascript:", False),
    ],
)
def test_a_link_that_somebodys_value_makes_run_code_is_not_sent(
    source: str, link: str, refused: bool
) -> None:
    renderer = Renderer(Snapshot(texts={"en": Text(title="t", link=source)}))
    if refused:
        with pytest.raises(RenderError, match=r"texts\.en\.link"):
            renderer.render("en", "", {"link": link})
    else:
        assert link in renderer.render("en", "", {"link": link}).link


def test_a_campaign_that_says_nothing_is_refused() -> None:
    [problem] = rendering.check(snapshot("", " "))
    assert problem.reason == "write a title or a body"
