import re
from collections import Counter

import pytest
from babel.messages import Message

from notifyhub import catalogues

PLACEHOLDER = re.compile(r"%\(\w+\)s|%%|\{\}|</?[a-z]+|`[^`]*`")
GERMAN_FAMILIAR = re.compile(r"\b(du|dich|dir|dein\w*|deine\w*|euch|euer\w*)\b", re.IGNORECASE)


def messages(language: str) -> list[Message]:
    return [one for one in catalogues.read(catalogues.po(language)) if one.id]


def forms(text: object) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, tuple | list) else (str(text),)


@pytest.mark.parametrize("language", catalogues.LANGUAGES)
def test_every_text_of_the_sources_is_in_the_catalogue_and_no_other(language: str) -> None:
    said = {(one.context, one.id) for one in catalogues.gathered() if one.id}
    assert len(said) > 1_500, "the texts are gathered"
    known = {(one.context, one.id) for one in messages(language)}
    assert known == said, "bring the catalogues up to date: ./manage.py words"


@pytest.mark.parametrize("language", catalogues.LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    catalog = catalogues.read(catalogues.po(language))
    assert not catalogues.untranslated(catalog)
    for one in messages(language):
        if one.pluralizable:
            assert len(forms(one.string)) == catalog.num_plurals, one.id


@pytest.mark.parametrize("language", catalogues.LANGUAGES)
def test_a_translation_has_the_placeholders_and_tags_of_its_text(language: str) -> None:
    for one in messages(language):
        ids = forms(one.id)
        # a singular may say “one”, a translation may leave the number out there too
        needed, allowed = (Counter(PLACEHOLDER.findall(text)) for text in (ids[0], ids[-1]))
        for text in forms(one.string):
            found = Counter(PLACEHOLDER.findall(text))
            if len(ids) > 1:
                assert found.keys() <= (needed | allowed).keys(), one.id
            else:
                assert found.keys() == allowed.keys(), one.id


@pytest.mark.parametrize("language", catalogues.LANGUAGES)
def test_a_translation_begins_and_ends_its_lines_as_its_text(language: str) -> None:
    for one in messages(language):
        for said, text in zip(forms(one.string), forms(one.id), strict=False):
            assert said.startswith("\n") == text.startswith("\n"), one.id
            assert said.strip() == "" or said.count("\n") == text.count("\n"), one.id


@pytest.mark.parametrize("language", catalogues.LANGUAGES)
def test_the_catalogue_is_compiled(language: str) -> None:
    assert catalogues.is_compiled(language), "compile the catalogues: ./manage.py words"


def test_german_addresses_people_formally() -> None:
    for one in messages("de"):
        for text in forms(one.string):
            assert not GERMAN_FAMILIAR.search(text), text


def test_a_text_that_is_new_in_a_template_or_a_module_is_found(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    page = folder / "page.html"
    page.write_text(
        '{% load i18n %}<p title="{% translate "A title" %}">{% blocktranslate count n=n %}one{% plural %}'
        "{{ n }} many{% endblocktranslate %}</p>"
    )
    assert {text for text, _context in catalogues.said_in(page)} == {"A title", ("one", "%(n)s many")}
    module = folder / "module.py"
    module.write_text('x = [_("One"), gettext("Two" " words"), pgettext("of time", "Long")]')
    assert set(catalogues.said_in(module)) == {("One", None), ("Two words", None), ("Long", "of time")}
