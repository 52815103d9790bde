"""Rows inside an admin page: whose they are, and who may change them, follows from the page's object."""

from typing import Any, ClassVar

from django.forms import ModelChoiceField
from django.http import HttpRequest
from unfold.admin import StackedInline, TabularInline

from devices.models import Power
from devices.scoped_admin import Scoping, has_application
from devices.scoped_form import ScopedForm, application_id_of


class _Inline(Scoping):
    """Rows inside a page: they take their application, and who may change them, from the page's object."""

    model: Any
    parent_model: Any
    form = ScopedForm
    extra = 0
    show_change_link = False
    hide_title = True
    read_only: ClassVar[bool] = False

    def _may(self, request: HttpRequest, power: Power, obj: Any = None) -> bool:
        parent = self.admin_site._registry[self.parent_model]
        return bool(parent._may(request, power, obj))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.SEE, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.read_only and self._may(request, self.changed_with, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.read_only and self._may(request, self.changed_with, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.read_only and self._may(request, self.changed_with, obj)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)  # type: ignore[misc]
        formset.form.in_a_row = True
        if obj is not None and issubclass(formset.form, ScopedForm):
            application_id = application_id_of(obj, self.admin_site._registry[type(obj)].application_path)
            formset.form.preset = application_id if has_application(self.model) else None
            self._narrow(formset.form, application_id)
        return formset

    def _narrow(self, form: type[ScopedForm], application_id: int | None) -> None:
        for name, path in self._paths(self.model).items():
            field = form.base_fields.get(name)
            if isinstance(field, ModelChoiceField) and field.queryset is not None:
                field.queryset = field.queryset.filter(**{path: application_id})
                offered: Any = field.choices
                field.choices = list(offered)  # read once, and not again for every row


class ScopedTabularInline(_Inline, TabularInline):
    """Rows of a table."""


class ScopedStackedInline(_Inline, StackedInline):
    """Rows with a field a line, for those that hold much."""
