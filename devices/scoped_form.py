"""Forms whose object belongs to one application, and whose choices are that application's too."""

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.db.models import Model
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from devices.models import Application


def application_id_of(instance: Model, path: str) -> int | None:
    """Return the primary key of the application an object belongs to, along `path` as in a lookup.

    `path` is "application", "subscriber__application", or "pk" for an application itself.
    """
    *way, last = path.split("__")
    found: Any = instance
    for name in way:
        found = getattr(found, name)
    value: int | None = found.pk if last == "pk" else getattr(found, f"{last}_id")
    return value


def _say_how_times_are_written(field: forms.Field) -> None:
    for one in field.fields if isinstance(field, forms.MultiValueField) else [field]:
        if isinstance(one, forms.TimeField):
            one.error_messages["invalid"] = _("Write a time as 18:00.")
        elif isinstance(one, forms.DateField):
            one.error_messages["invalid"] = _("Write a date as 2030-12-24.")


class ScopedForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes no parameters at run time
    """A form that keeps an object and everything it points to within one application.

    `preset` is the application of a new object when there is nothing to choose; `paths` leads from
    the object of each related field to its application. `ScopedAdmin.get_form` fills both.
    """

    preset: ClassVar[int | None] = None
    paths: ClassVar[dict[str, str]] = {}
    names_application: ClassVar[bool] = False
    in_a_row: ClassVar[bool] = False
    """Whether the fields stand in a table, under headings that screen readers do not read as their labels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.preset is not None and self.instance._state.adding:
            self.instance.application_id = self.preset
        settled = None if "application" in self.fields else getattr(self.instance, "application_id", None)
        for name, path in self.paths.items():
            field = self.fields.get(name)
            if not isinstance(field, forms.ModelChoiceField) or field.queryset is None:
                continue
            if settled is not None:
                field.queryset = field.queryset.filter(**{path: settled})
            elif self.names_application:
                _name_application(field, path)
        for shown in self.fields.values():
            _say_how_times_are_written(shown)
        if self.in_a_row:
            for shown in self.fields.values():
                widget: Any = getattr(shown.widget, "widget", shown.widget)
                widget.attrs.setdefault("aria-label", shown.label)

    def _get_validation_exclusions(self) -> set[str]:
        """Keep `application` among what is validated: “one per application” must hold when it is not asked for."""
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # private, and the only place for it
        if "application" not in self.fields:
            excluded.discard("application")
        return excluded

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        application = cleaned.get("application") or self._application()
        if application is None:
            return cleaned
        for name, path in self.paths.items():
            chosen = cleaned.get(name)
            if isinstance(chosen, Model) and application_id_of(chosen, path) != application.pk:
                self.add_error(
                    name,
                    _("“%(chosen)s” belongs to another application; choose one of %(application)s.")
                    % {"chosen": chosen, "application": application},
                )
        return cleaned

    def _application(self) -> Application | None:
        if "application" in self.fields or getattr(self.instance, "application_id", None) is None:
            return None
        found: Application = self.instance.application
        return found


def _name_application(field: "forms.ModelChoiceField[Any]", path: str) -> None:
    """Say beside every choice whose it is, for somebody who works in several applications."""
    field.queryset = field.queryset.select_related(path) if field.queryset is not None else None
    field.label_from_instance = _labelled(path)  # type: ignore[method-assign, assignment]


def _labelled(path: str) -> Callable[[Model], str]:
    def label(chosen: Model) -> str:
        found: Any = chosen
        for name in path.split("__"):
            found = getattr(found, name)
        return f"{chosen} ({found})"

    return label


class ChoicesField(forms.MultipleChoiceField):
    """Several of a fixed list as checkboxes, kept as a JSON list in the list's own order."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def clean(self, value: Any) -> list[str]:
        allowed: Any = self.choices
        chosen = set(super().clean(value))
        return [str(key) for key, _ in allowed if key in chosen]
