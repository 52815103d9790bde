"""The catalogues of translations in `locale/`: what the sources say is gathered, kept in order and compiled.

Babel does it, so no gettext needs to be installed. `manage.py words` runs it; `tests/notifyhub/test_catalogues.py`
fails while a text is missing or a catalogue is not compiled.
"""

from collections.abc import Iterator
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

import django
import unfold
from babel.messages import Catalog, Message
from babel.messages.extract import extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

ROOT: Path = settings.BASE_DIR
DOMAIN = "django"
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
FOLDERS = ("campaigns", "delivery", "devices", "notifyhub", "templates")
LEFT_OUT = {"migrations", "api", "demo", "formats"}
KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
CHATTER = (
    '"Generated-By',
    '"Language-Team',
    '"Last-Translator',
    '"POT-Creation',
    '"PO-Revision',
    '"Project-Id',
    '"Report-Msgid',
)
"""How lines of a .po's header begin that would make every edit a conflict."""
Said = tuple[str | tuple[str, str], str | None]
"""A text, or one with its plural; and its context."""


def sources() -> Iterator[Path]:
    """Yield the files in which texts are marked, in order."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            parts = path.relative_to(ROOT).parts
            if path.suffix in (".py", ".html") and not LEFT_OUT & set(parts):
                yield path


def said_in(path: Path) -> Iterator[Said]:
    """Yield the marked texts of a module or a template."""
    text = path.read_text()
    if path.suffix == ".html":
        text = "\n".join(line.strip() for line in templatize(text, origin=str(path)).splitlines())
    for _line, function, found, _comments in extract_python(
        BytesIO(text.encode()), KEYWORDS, [], {"encoding": "utf-8"}
    ):
        texts: list[Any] = [found] if isinstance(found, str) else list(found or [""])  # type: ignore[unreachable]
        assert isinstance(function, str)
        spec = KEYWORDS[function]
        context = texts.pop(0) if spec and isinstance(spec[0], tuple) else None
        if len(spec or ()) - (context is not None) == 2:
            if texts[0] and texts[1]:
                yield (texts[0], texts[1]), context
        elif texts[0]:
            yield texts[0], context


def gathered() -> Catalog:
    """Return all texts of ours, and those of Unfold that Django does not translate anyway."""
    catalog = Catalog(charset="utf-8")
    for path in sources():
        for text, context in said_in(path):
            place = (path.relative_to(ROOT).as_posix(), 0)
            catalog.add(text, locations=[place], context=context, flags=_flags(text))
    known = _of_django()
    package = Path(unfold.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".html") and "contrib" not in path.relative_to(package).parts:
            for text, context in said_in(path):
                if text not in known and catalog.get(text, context) is None:
                    catalog.add(text, locations=[("unfold", 0)], context=context, flags=_flags(text))
    return catalog


def _flags(text: str | tuple[str, str]) -> list[str]:
    return ["python-format"] if "%(" in "".join(text) else []


def _of_django() -> set[str | tuple[str, ...]]:
    """Return the texts that Django itself has in every language of ours."""
    found: list[set[Any]] = []
    package = Path(django.__file__).parent
    for language in LANGUAGES:
        files = package.glob(f"**/locale/{language}/LC_MESSAGES/django.po")
        found.append({one.id for path in files for one in read(path) if one.id and one.string})
    return set.intersection(*found)


def read(path: Path) -> Catalog:
    """Return the catalogue that a .po file holds."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def po(language: str) -> Path:
    """Return the path of a language's catalogue."""
    return ROOT / "locale" / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def update(language: str) -> list[Message]:
    """Bring a language's catalogue up to what the sources say; return what is still to be translated."""
    path = po(language)
    catalog = read(path)
    catalog.update(gathered(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    file = BytesIO()
    write_po(file, catalog, width=118, sort_by_file=True, include_lineno=False)
    lines = file.getvalue().decode().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(CHATTER)))
    return untranslated(catalog)


def untranslated(catalog: Catalog) -> list[Message]:
    """Return the messages of a catalogue that have no translation, or only a guessed one."""
    return [one for one in catalog if one.id and (one.fuzzy or not all(_each(one.string)))]


def _each(text: Any) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, tuple | list) else (text or "",)


def compiled(language: str) -> bytes:
    """Return a language's catalogue as gettext reads it."""
    file = BytesIO()
    write_mo(file, read(po(language)))
    return file.getvalue()


def is_compiled(language: str) -> bool:
    """Return whether the .mo beside a language's .po says the same."""
    path = po(language).with_suffix(".mo")
    return path.exists() and _said(path.read_bytes()) == _said(compiled(language))


def compile_(language: str) -> None:
    """Write the .mo beside a language's .po, unless it says the same already."""
    if not is_compiled(language):
        po(language).with_suffix(".mo").write_bytes(compiled(language))


def _said(mo: bytes) -> dict[Any, str]:
    known: dict[Any, str] = vars(GNUTranslations(BytesIO(mo)))["_catalog"]
    return {text: said for text, said in known.items() if text}
