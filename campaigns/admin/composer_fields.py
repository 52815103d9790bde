"""The composer's fields of several rows: data, buttons and languages; read without JavaScript, added to with it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from campaigns.composing import LOCALE_TEXTS, MOST_BUTTONS, button
from campaigns.content import LOCALES_LIMIT

Row = dict[str, str]
MOST_ROWS = 200
"""Rows that are read of one field, whatever a request holds."""


class Column(NamedTuple):
    """A column of rows: its inputs' name, its label, a placeholder, the most characters, and the kind of input."""

    name: str
    label: Any
    hint: Any = ""
    limit: int = 200
    kind: str = "text"


class RowsWidget(forms.Widget):
    """Rows of inputs named `field-0-column`; a row that is empty does not count."""

    template_name = "admin/campaigns/composer/rows.html"

    def __init__(self, columns: Sequence[Column], *, add: Any, most: int, empty: Any = "") -> None:
        super().__init__()
        self.columns, self.add, self.most, self.empty = columns, add, most, empty
        self.problems: dict[str, list[str]] = {}
        """What is wrong, by the name of the input it is wrong in."""

    def rows_of(self, value: Any) -> list[Row]:
        """Return a field's value as rows."""
        return list(value or [])

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Row]:
        pattern = re.compile(rf"{re.escape(name)}-(\d{{1,4}})-")
        places = sorted({int(found.group(1)) for key in data if (found := pattern.match(key))})
        rows = []
        for place in places[:MOST_ROWS]:
            row = {one.name: str(data.get(f"{name}-{place}-{one.name}", "")) for one in self.columns}
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
                "problems": self.problems.get(f"{name}-{place}-{one.name}", []),
            }
            for one in self.columns
        ]

    def id_for_label(self, id_: str) -> str:
        return ""  # the field is a group; each input has a label of its own


class RowsField(forms.Field):
    """A field of rows; `said` and `heard` translate between rows and what a campaign keeps."""

    widget: Any = RowsWidget

    def clean(self, value: Any) -> Any:
        return self.heard(value or [])

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

    def __init__(self, **options: Any) -> None:
        columns = [Column("key", _("Key"), "screen", 100), Column("value", _("Text"), "offers", 2_000)]
        widget = _PairsWidget(
            columns,
            add=_("Add data"),
            most=50,
            empty=_("No data: the app is told the texts and the link only."),
        )
        super().__init__(required=False, widget=widget, **options)

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
                **({"place": one["place"]} if "place" in one else {}),
            }
            for one in value or []
        ]


class ButtonsField(RowsField):
    """Buttons, as a browser's actions (`campaigns.composing.button`)."""

    def __init__(self, **options: Any) -> None:
        columns = [
            Column("label", _("Label"), _("Buy now"), 60),
            Column("link", _("Opens"), "https://", 500, "url"),
            Column("action", _("Or tells the app"), "buy", 60),
        ]
        widget = _ButtonsWidget(
            columns, add=_("Add a button"), most=MOST_BUTTONS, empty=_("No buttons: a tap opens the link.")
        )
        super().__init__(required=False, widget=widget, **options)

    def heard(self, rows: list[Row]) -> list[dict[str, Any]]:
        if len(rows) > MOST_BUTTONS:
            raise ValidationError(
                _("There are %(count)s buttons; %(most)s are the most.")
                % {"count": len(rows), "most": MOST_BUTTONS}
            )
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
            made.append(button(label, link, row["action"].strip(), taken=taken))
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

    def __init__(self, **options: Any) -> None:
        self.before: Mapping[str, Any] = {}
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
