"""The composer's fields of rows: data, buttons, languages, options; read without JavaScript, added to with it."""

import copy
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from campaigns.composing import BUTTON, LOCALE_TEXTS, MOST_BUTTONS, PLACES, button, lines
from campaigns.content import DATA_KEYS_LIMIT, LOCALES_LIMIT
from delivery.senders import options

Row = dict[str, str]
MOST_OPTIONS = 40
MOST_ROWS = 200
"""Rows that are read of one field, whatever a request holds."""


class Column(NamedTuple):
    """A column of rows: its inputs' name, its label, a placeholder, the most characters, and the kind of input.

    `known` are the words that an input offers.
    """

    name: str
    label: Any
    hint: Any = ""
    limit: int = 200
    kind: str = "text"
    known: Sequence[str] = ()


class RowsWidget(forms.Widget):
    """Rows of inputs named `field-0-column`; a row that is empty does not count."""

    template_name = "admin/campaigns/composer/rows.html"

    def __init__(self, columns: Sequence[Column], *, add: Any, most: int, empty: Any = "") -> None:
        super().__init__()
        self.columns, self.add, self.most, self.empty = columns, add, most, empty
        self.problems: dict[str, list[str]] = {}
        """What is wrong, by the name of the input it is wrong in."""

    def __deepcopy__(self, memo: Any) -> "RowsWidget":
        copied: RowsWidget = super().__deepcopy__(memo)
        copied.problems = copy.deepcopy(self.problems, memo)  # what is wrong in one form is not in another
        return copied

    def rows_of(self, value: Any) -> list[Row]:
        """Return a field's value as rows."""
        return list(value or [])

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Row]:
        pattern = re.compile(rf"{re.escape(name)}-(\d{{1,4}})-")
        places = sorted({int(found.group(1)) for key in data if (found := pattern.match(key))})
        rows = []
        for place in places[:MOST_ROWS]:
            row = {one.name: lines(str(data.get(f"{name}-{place}-{one.name}", ""))) for one in self.columns}
            row["place"] = str(place)
            if any(row[one.name].strip() for one in self.columns):
                rows.append(row)
        return rows

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-rows" not in data and not any(key.startswith(f"{name}-") for key in data)

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        rows = self.rows_of(value)
        places = [int(row.get("place", index)) for index, row in enumerate(rows)]
        free = max(places, default=-1) + 1
        context = {
            "name": name,
            "widget": self,
            "rows": [self._shown(name, place, row) for place, row in zip(places, rows, strict=True)],
            "spare": self._shown(name, "__row__", {}),
            "next": free,
            "id": (attrs or {}).get("id", f"id_{name}"),
        }
        return render_to_string(self.template_name, context)

    def _shown(self, name: str, place: Any, row: Mapping[str, str]) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{name}-{place}-{one.name}",
                "value": row.get(one.name, ""),
                "column": one,
                "several_lines": one.kind == "textarea" or "\n" in row.get(one.name, ""),
                "problems": self.problems.get(f"{name}-{place}-{one.name}", []),
            }
            for one in self.columns
        ]

    def id_for_label(self, id_: str) -> str:
        return ""  # the field is a group; each input has a label of its own


class RowsField(forms.Field):
    """A field of rows, between which and what a campaign keeps its widget's `rows_of` and `heard` translate.

    `before` is what the campaign keeps: rows that nobody touched leave it as it is.
    """

    widget: Any = RowsWidget
    before: Any = None

    def clean(self, value: Any) -> Any:
        return self.before if self._untouched(value) else self.heard(value or [])

    def _untouched(self, rows: Any) -> bool:
        if not self.before or not rows:
            return False
        names = [one.name for one in self.widget.columns]
        before = [
            {name: lines(row.get(name, "")) for name in names} for row in self.widget.rows_of(self.before)
        ]
        return before == [{name: row.get(name, "") for name in names} for row in rows]

    def place_of(self, rows: list[Row], place: str) -> str:
        """Return in which input (as `0-value`) what stands at a `place` of the field was written; empty: in no one."""
        return ""

    def heard(self, rows: list[Row]) -> Any:
        """Return what the rows say; raises `ValidationError`."""
        return rows

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.heard(data or []) != (initial or type(initial)()))
        except ValidationError:
            return True


class _PairsWidget(RowsWidget):
    def rows_of(self, value: Any) -> list[Row]:
        if isinstance(value, dict):
            return [{"key": key, "value": str(said)} for key, said in value.items()]
        return list(value or [])


class PairsField(RowsField):
    """Keys and texts, as a dict."""

    def __init__(self, *, empty: Any, **options: Any) -> None:
        columns = [Column("key", _("Key"), "screen", 100), Column("value", _("Text"), "offers", 2_000)]
        widget = _PairsWidget(columns, add=_("Add data"), most=DATA_KEYS_LIMIT, empty=empty)
        super().__init__(required=False, widget=widget, **options)

    def place_of(self, rows: list[Row], place: str) -> str:
        return next((f"{row['place']}-value" for row in rows if row["key"].strip() == place), "")

    def heard(self, rows: list[Row]) -> dict[str, str]:
        found: dict[str, str] = {}
        for row in rows:
            key = row["key"].strip()
            if not key:
                raise ValidationError(_("The text “%(text)s” has no key.") % {"text": row["value"][:40]})
            if key in found:
                raise ValidationError(_("The key “%(key)s” stands there twice.") % {"key": key})
            found[key] = row["value"]
        return found


class _ButtonsWidget(RowsWidget):
    def rows_of(self, value: Any) -> list[Row]:
        return [
            {
                "label": one.get("label", one.get("title", "")),
                "link": one.get("link", one.get("navigate", "")),
                "action": one.get("action", ""),
                "was": one.get("was", one.get("action", "")),
                **({"place": one["place"]} if "place" in one else {}),
            }
            for one in value or []
        ]


class ButtonsField(RowsField):
    """Buttons, as a browser's actions (`campaigns.composing.button`); what has no input is kept from `before`."""

    def __init__(self, *, empty: Any, **options: Any) -> None:
        columns = [
            Column("label", _("Label"), _("Buy now"), 60),
            Column("link", _("Opens"), "https://", 500, "url"),
            Column("action", _("Or tells the app"), "buy", 60),
            Column("was", "", "", 200, "hidden"),
        ]
        widget = _ButtonsWidget(columns, add=_("Add a button"), most=MOST_BUTTONS, empty=empty)
        super().__init__(required=False, widget=widget, **options)

    def place_of(self, rows: list[Row], place: str) -> str:
        at, _dot, name = place.partition(".")
        if not at.isdigit() or int(at) >= len(rows):
            return ""
        column = {"title": "label", "navigate": "link"}.get(name, "action")
        return f"{rows[int(at)]['place']}-{column}"

    def heard(self, rows: list[Row]) -> list[dict[str, Any]]:
        if len(rows) > MOST_BUTTONS:
            raise ValidationError(
                _("There are %(count)s buttons; %(most)s are the most.")
                % {"count": len(rows), "most": MOST_BUTTONS}
            )
        more = {
            one.get("action"): {name: value for name, value in one.items() if name not in BUTTON}
            for one in self.before or []
        }
        made: list[dict[str, Any]] = []
        for row in rows:
            label, link = row["label"].strip(), row["link"].strip()
            if not label:
                raise ValidationError(_("A button needs a label."))
            taken = [one["action"] for one in made]
            if row["action"].strip() in taken:
                raise ValidationError(
                    _("Two buttons tell the app “%(name)s”.") % {"name": row["action"].strip()}
                )
            said = button(label, link, row["action"].strip(), taken=taken)
            made.append({**said, **more.get(row["was"], {})})
        return made


class _LocalesWidget(RowsWidget):
    template_name = "admin/campaigns/composer/locales.html"

    def rows_of(self, value: Any) -> list[Row]:
        if isinstance(value, dict):
            return [
                {**{one.name: str(said.get(one.name, "")) for one in self.columns}, "tag": tag, "was": tag}
                for tag, said in value.items()
                if isinstance(said, dict)
            ]
        return list(value or [])


class LocalesField(RowsField):
    """Languages with `LOCALE_TEXTS`, as a dict by tag; what has no input is kept from `before`."""

    before: Any = MappingProxyType({})

    def __init__(self, **options: Any) -> None:
        columns = [
            Column("tag", _("Language"), "de, pt-BR", 35),
            Column("title", _("Title")),
            Column("subtitle", _("Subtitle")),
            Column("body", _("Body"), "", 2_000, "textarea"),
            Column("image", _("Image"), "https://", 500, "url"),
            Column("link", _("Link"), "https://", 500),
            Column("was", "", "", 35, "hidden"),
        ]
        widget = _LocalesWidget(
            columns,
            add=_("Add a language"),
            most=LOCALES_LIMIT,
            empty=_("No other language: everybody reads the texts above."),
        )
        super().__init__(required=False, widget=widget, **options)

    def place_of(self, rows: list[Row], place: str) -> str:
        tag, _dot, name = place.partition(".")
        names = [one.name for one in self.widget.columns]
        column = name if name in names else "tag"
        return next((f"{row['place']}-{column}" for row in rows if row["tag"].strip() == tag), "")

    def heard(self, rows: list[Row]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            tag = row["tag"].strip()
            texts = {name: row[name] for name in LOCALE_TEXTS if row[name].strip()}
            if not tag and not texts:
                continue
            if not tag:
                raise ValidationError(
                    _("Say which language “%(text)s” is.") % {"text": next(iter(texts.values()))[:40]}
                )
            if tag.lower() in (one.lower() for one in found):
                raise ValidationError(_("The language “%(tag)s” stands there twice.") % {"tag": tag})
            kept = self.before.get(row["was"]) or {}
            more = {name: value for name, value in kept.items() if name not in LOCALE_TEXTS}
            found[tag] = {**texts, **more}
        return found


def _written(value: Any) -> str:
    """Return an option's value as it is written into an input."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _OptionsWidget(_PairsWidget):
    def rows_of(self, value: Any) -> list[Row]:
        if isinstance(value, dict):
            return [{"key": key, "value": _written(said)} for key, said in value.items()]
        return super().rows_of(value)


class OptionsField(RowsField):
    """Options of a platform that have no field of their own, as a dict by the provider's names."""

    def __init__(self, platform: str, **more: Any) -> None:
        self.platform = platform
        self.elsewhere = {place[1] for place in PLACES.values() if place[0] == platform}
        known = [name for name in options.plain_names(platform) if name not in self.elsewhere]
        columns = [
            Column("key", _("Option"), known[0], 60, known=known),
            Column("value", _("Value"), "", 1_000),
        ]
        widget = _OptionsWidget(
            columns, add=_("Add an option"), most=MOST_OPTIONS, empty=_("None: the fields above say all.")
        )
        super().__init__(required=False, widget=widget, **more)

    def place_of(self, rows: list[Row], place: str) -> str:
        name = place.partition(".")[0]
        return next((f"{row['place']}-value" for row in rows if row["key"].strip() == name), "")

    def heard(self, rows: list[Row]) -> dict[str, Any]:
        before, found = self.before or {}, {}
        for row in rows:
            name, text = row["key"].strip(), row["value"]
            if not name:
                raise ValidationError(_("Say which option “%(text)s” is.") % {"text": text[:40]})
            if name in self.elsewhere:
                raise ValidationError(_("“%(name)s” has a field of its own above.") % {"name": name})
            if name in found:
                raise ValidationError(_("The option “%(name)s” stands there twice.") % {"name": name})
            same = name in before and _written(before[name]) == text
            found[name] = before[name] if same else options.read(self.platform, name, text)
        return found
