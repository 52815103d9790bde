"""Texts are cut where a reader would cut them, and no more than is needed."""

import msgspec
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from delivery.content import Content
from delivery.senders.fitting import ELLIPSIS, TooLargeError, fitted


def weigh(content: Content) -> int:
    return len(msgspec.json.encode(content))


def test_what_fits_is_left_as_it_is() -> None:
    content = Content(title="T", body="B")
    assert fitted(content, weigh, weigh(content)) is content


@given(
    body=st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
    title=st.text(st.characters(codec="utf-8"), max_size=20),
    spare=st.integers(0, 300),
)
def test_a_cut_text_fits_ends_with_an_ellipsis_and_breaks_no_letter(
    body: str, title: str, spare: int
) -> None:
    content = Content(title=title, body=body)
    limit = weigh(Content(title=title, body=ELLIPSIS)) + spare
    cut = fitted(content, weigh, limit)
    assert weigh(cut) <= limit and cut.title == title
    if cut is not content:
        kept = cut.body.removesuffix(ELLIPSIS)
        letters = regex.findall(r"\X", body)
        whole = ["".join(letters[:count]).rstrip() for count in range(len(letters))]
        assert cut.body.endswith(ELLIPSIS) and kept in whole
        longer = [one for one in whole if len(one) > len(kept)]
        assert all(weigh(Content(title=title, body=one + ELLIPSIS)) > limit for one in longer[:1])


@pytest.mark.parametrize(
    "letter",
    [
        "é",
        "\U0001f1e9\U0001f1ea",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
        "नि",
        "👍🏽",
    ],
)
def test_a_letter_of_several_characters_stays_whole(letter: str) -> None:
    for spare in range(25):
        limit = weigh(Content(title="T", body=ELLIPSIS)) + spare
        cut = fitted(Content(title="T", body=letter * 20), weigh, limit)
        assert cut.body.removesuffix(ELLIPSIS) == letter * (spare // len(letter.encode()))


def test_the_body_goes_first_then_the_subtitle_and_of_the_title_something_stays() -> None:
    content = Content(title="Title", subtitle="Subtitle", body="Body")
    tight = weigh(Content(title="Title", subtitle="S…", body=ELLIPSIS))
    assert fitted(content, weigh, tight) == Content(title="Title", subtitle="S…", body=ELLIPSIS)
    tighter = weigh(Content(title="T…", subtitle=ELLIPSIS, body=ELLIPSIS))
    assert fitted(content, weigh, tighter).title == "T…"
    with pytest.raises(TooLargeError):
        fitted(content, weigh, tighter - 1)


def test_data_that_is_too_large_is_told_with_its_bytes() -> None:
    content = Content(title="T", body="B", data={"k": "v" * 100})
    with pytest.raises(TooLargeError) as caught:
        fitted(content, weigh, 50)
    assert (caught.value.size, caught.value.limit) == (weigh(content), 50)
