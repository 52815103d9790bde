"""What the builder of segments offers: the fields a condition may be about, how each is compared, and its words."""

from typing import Any

from django import forms
from django.forms.widgets import Script
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminTextareaWidget

from devices.models import Application, Platform, Provider

Offer = dict[str, Any]


def _ops(*pairs: tuple[str, str, bool]) -> list[Offer]:
    return [{"key": key, "label": label, "not": negated} for key, label, negated in pairs]


def fields() -> list[Offer]:
    """Return the groups of fields as the builder's script reads them."""
    equal = _ops(
        ("is", _("is"), False),
        ("is", _("is not"), True),
        ("in", _("is one of"), False),
        ("in", _("is none of"), True),
    )
    attribute = [
        *equal,
        *_ops(
            ("above", _("is above"), False),
            ("below", _("is below"), False),
            ("contains", _("contains"), False),
            ("contains", _("does not contain"), True),
            ("exists", _("is set"), False),
            ("exists", _("is not set"), True),
        ),
    ]
    has = _ops(("is", _("is"), False), ("is", _("is not"), True))
    days = _ops(("within_days", _("within the last"), False), ("before_days", _("longer ago than"), False))
    times = _ops(
        ("at_least", _("at least"), False), ("at_most", _("at most"), False), ("never", _("never"), False)
    )
    version = _ops(
        ("is", _("is"), False),
        ("in", _("is one of"), False),
        ("above", _("is above"), False),
        ("below", _("is below"), False),
    )
    return [
        {
            "label": _("Who they are"),
            "fields": [
                {
                    "key": "attribute",
                    "label": _("Attribute"),
                    "kind": "attribute",
                    "ops": attribute,
                    "named": _("attribute"),
                },
                {
                    "key": "tag",
                    "label": _("Tag"),
                    "kind": "text",
                    "ops": equal,
                },
                {
                    "key": "locale",
                    "label": _("Language"),
                    "kind": "text",
                    "ops": equal,
                    "example": "de, pt-BR",
                },
                {
                    "key": "time_zone",
                    "label": _("Time zone"),
                    "kind": "text",
                    "ops": equal,
                    "example": "Europe/Berlin",
                },
                {"key": "external_id", "label": _("Id in your system"), "kind": "text", "ops": equal},
                {"key": "created", "label": _("Added"), "kind": "days", "ops": days},
                {
                    "key": "segment",
                    "label": _("Segment"),
                    "kind": "segment",
                    "ops": _ops(("is", _("in"), False), ("is", _("not in"), True)),
                },
            ],
        },
        {
            "label": _("What they did"),
            "fields": [
                {"key": "received", "label": _("Received notifications"), "kind": "behaviour", "ops": times},
                {"key": "opened", "label": _("Opened notifications"), "kind": "behaviour", "ops": times},
                {
                    "key": "event",
                    "label": _("Did an event"),
                    "kind": "behaviour",
                    "ops": times,
                    "named": _("event"),
                },
            ],
        },
        {
            "label": _("A device of theirs"),
            "fields": [
                {
                    "key": "platform",
                    "label": _("Platform"),
                    "kind": "choice",
                    "ops": has,
                    "values": _values(Platform),
                },
                {
                    "key": "provider",
                    "label": _("Reached by"),
                    "kind": "choice",
                    "ops": has,
                    "values": _values(Provider),
                },
                {
                    "key": "app_version",
                    "label": _("App version"),
                    "kind": "text",
                    "ops": version,
                    "example": "2.0",
                },
                {
                    "key": "device_locale",
                    "label": _("Device language"),
                    "kind": "text",
                    "ops": equal,
                    "example": "de, pt-BR",
                },
                {
                    "key": "device_time_zone",
                    "label": _("Device time zone"),
                    "kind": "text",
                    "ops": equal,
                    "example": "Europe/Berlin",
                },
                {"key": "last_seen", "label": _("Last seen"), "kind": "days", "ops": days},
            ],
        },
    ]


def _values(choices: Any) -> list[Offer]:
    return [{"key": key, "label": str(label)} for key, label in choices.choices]


def words() -> dict[str, str]:
    """Return the texts of the builder's script."""
    return {
        "all": _("all of"),
        "any": _("any of"),
        "none": _("none of"),
        "groupKind": _("How many of the conditions must hold"),
        "peopleWho": _("People who meet"),
        "groupOf": _("Group:"),
        "addRow": _("Add a condition"),
        "addGroup": _("Add a group"),
        "removeRow": _("Remove this condition"),
        "removeGroup": _("Remove this group"),
        "what": _("What it is about"),
        "how": _("How it is compared"),
        "type": _("Kind of value"),
        "type_text": _("text"),
        "type_number": _("number"),
        "type_boolean": _("yes or no"),
        "type_null": _("nothing"),
        "yes": _("yes"),
        "no": _("no"),
        "value": _("value"),
        "list": _("values, with commas between"),
        "times": _("times"),
        "days": _("days"),
        "inTheLast": _("in the last"),
        "choose": _("Choose one"),
        "segment": _("Segment"),
        "noSegments": _("There is no other segment yet"),
        "asJson": _("Condition as JSON"),
        "notJson": _("This is not JSON:"),
        "fillThis": _("Fill this in, or take the condition out."),
        "fillIn": _("Fill in every condition, and it is counted at once."),
        "chooseApplication": _("Choose the application first."),
        "noAnswer": _("It could not be counted: the hub did not answer. Change something to try again."),
        "wrong": _("It cannot be counted: see beside the condition."),
        "reachable": _("Devices that can be reached"),
        "platform": _("Platform"),
        "devices": _("Devices"),
        "noDevices": _("None of their devices can be reached now."),
    }


class PredicateWidget(UnfoldAdminTextareaWidget):
    """The JSON of a predicate with the builder above it; without JavaScript the JSON alone."""

    application: "Application | None" = None
    own = ""

    class Media:
        css = {"all": ["devices/segment-builder.css"]}
        js = [Script("devices/segment-builder.js", type="module")]

    def __init__(self) -> None:
        super().__init__(attrs={"rows": 8, "spellcheck": "false"})

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        context = {
            "id": (attrs or {}).get("id", name),
            "application": self.application.pk if self.application else "",
            "own": self.own,
            "said": {"fields": fields(), "text": words()},
            "textarea": super().render(name, value, attrs, renderer),
        }
        return render_to_string("admin/devices/segment/builder.html", context)


def bind(form: forms.ModelForm, application: "Application | None", own: str) -> None:  # type: ignore[type-arg]
    """Tell the builder of a form whose application and which segment it is."""
    widget = form.fields["predicate"].widget if "predicate" in form.fields else None
    if isinstance(widget, PredicateWidget):
        widget.application, widget.own = application, own
