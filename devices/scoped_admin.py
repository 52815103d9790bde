"""The admin pages' base: whatever a member of the staff sees, picks or does stays within their applications."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.apps import apps
from django.contrib.admin import ListFilter, RelatedFieldListFilter
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, PermissionDenied
from django.db.models import Field, ForeignKey, JSONField, Model, QuerySet
from django.forms import ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin
from unfold.dataclasses import UnfoldAction
from unfold.widgets import UnfoldAdminTextareaWidget

from devices import audit, history, staff
from devices.models import Application, AuditEntry, Power
from devices.scoped_form import ScopedForm, application_id_of


class ScopedRelatedFilter(RelatedFieldListFilter):
    """A list filter that offers only what the member may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [
            (found.pk, str(found)) for found in model_admin.choices(request, field.remote_field.model)[:200]
        ]


class Scoping:
    """What pages and inlines share: the choices of related fields."""

    admin_site: Any
    changed_with: ClassVar[Power] = Power.WRITE

    def choices(self, request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
        """Return the objects of another model that may be shown to the member, and so picked."""
        if model is Application:
            return staff.applications(request, self.changed_with)
        related = self.admin_site._registry.get(model)
        if not isinstance(related, ScopedAdmin):
            raise ImproperlyConfigured(
                f"{model.__name__} has no ScopedAdmin: nothing says whose its objects are."
            )
        return related.get_queryset(request)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> "ModelChoiceField[Any] | None":
        model = db_field.remote_field.model
        unread = [one.name for one in model._meta.concrete_fields if isinstance(one, JSONField)]
        kwargs["queryset"] = self.choices(request, model).defer(*unread)  # a choice is its name
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]
        return field

    def _paths(self, model: type[Model]) -> dict[str, str]:
        """Return, by the name of each related field, the way from its object to the application."""
        paths = {}
        for field in model._meta.fields:
            related = self.admin_site._registry.get(field.related_model) if field.related_model else None
            if isinstance(related, ScopedAdmin) and field.related_model is not Application:
                paths[field.name] = related.application_path
        return paths


@dataclasses.dataclass(frozen=True)
class Empty:
    """What a list says while there is nothing to list: what it is for, and what to add first.

    `first` has the words of the links, in order, by the model that each adds an object of.
    """

    says: Promise
    first: Mapping[str, Promise] = dataclasses.field(default_factory=dict)


class ScopedAdmin(Scoping, ModelAdmin):
    """A page of objects that belong to applications.

    Every queryset starts from the member's applications, so another's object is a 404 everywhere.
    `application_path` leads to the application as in a lookup; `seen_with` is the power that it takes to look,
    `changed_with` to add, change and delete; `secret_fields` are never looked up by, whatever the address says;
    `empty` stands in place of the list while nothing is in it.
    """

    form = ScopedForm
    application_path: ClassVar[str] = "application"
    seen_with: ClassVar[Power] = Power.SEE
    secret_fields: ClassVar[tuple[str, ...]] = ()
    empty: ClassVar[Empty]
    show_full_result_count = False
    warn_unsaved_form = True
    list_per_page = 50
    formfield_overrides = {
        JSONField: {"widget": UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"})}
    }

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["devices/admin.css"]}

    # -- what is seen

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        return queryset.filter(**{f"{self.application_path}__in": staff.enters(request)})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return one of the member's objects, or raise the 404 that a foreign or missing one is.

        Raised here, before any permission is asked: a 403 would tell a stranger that there is one.
        """
        obj = super().get_object(request, str(object_id), from_field)
        if obj is None:
            raise Http404(
                _("There is no %(verbose_name)s %(object_id)s in your applications.")
                % {"verbose_name": self.opts.verbose_name, "object_id": object_id}
            )
        return obj

    def get_ordering(self, request: HttpRequest) -> Sequence[Any]:
        return self.ordering or self.opts.ordering or ["-pk"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        if lookup.split("__")[0] in self.secret_fields:
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    # -- what may be done

    def _may(self, request: HttpRequest, power: Power, obj: Any = None) -> bool:
        """Return whether the member has the power where `obj` (an object, its key, or None: anywhere) belongs."""
        if obj is None:
            return staff.may(request, power)
        if isinstance(obj, Model):
            return staff.may(request, power, application_id_of(obj, self.application_path))
        return staff.may(request, power, self._application_of(request, str(obj)))

    def _application_of(self, request: HttpRequest, key: str) -> Any:
        """Return the application of an object by its key, with which Unfold asks for each button anew."""
        kept = vars(request).setdefault("_applications_of_objects", {})
        if (self.model, key) not in kept:
            kept[self.model, key] = application_id_of(self.get_object(request, key), self.application_path)
        return kept[self.model, key]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return staff.may(request, self.seen_with)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # in a hub without an application each list says what to add first
        return self._may(request, self.seen_with, obj) or (obj is None and staff.begins(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.changed_with)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    # -- what is done is written down

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = audit.stored(obj) if change else {}
        super().save_model(request, obj, form, change)
        if change and (changes := audit.difference(before, audit.state_of(obj))):
            self._note(request, audit.CHANGED, obj, changes=changes)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        before = {row.pk: audit.stored(row) for row in formset.queryset} if change else {}
        super().save_formset(request, form, formset, change)
        changes = {}
        for row in formset.new_objects:
            changes[f"+ {row}"] = ["", "; ".join(text for text in audit.state_of(row).values() if text)]
        for row, _names in formset.changed_objects:
            for name, pair in audit.difference(before.get(row.pk, {}), audit.state_of(row)).items():
                changes[f"{row}: {name}"] = pair
        for row in formset.deleted_objects:
            changes[f"- {row}"] = ["; ".join(text for text in audit.state_of(row).values() if text), ""]
        if changes:
            self._note(request, audit.CHANGED, form.instance, changes=changes)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        gone = self._gone(request, obj)
        super().delete_model(request, obj)
        audit.write(gone)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        gone = [self._gone(request, obj) for obj in queryset]
        super().delete_queryset(request, queryset)
        audit.write(*gone)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Note what was made: here, as some pages make their objects by another way than saving them."""
        says = message if isinstance(message, str) else ""
        audit.made(audit.staff(request), obj, says=says, path=self.application_path)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Note what a button did; what a form changed is noted with its fields already."""
        if isinstance(message, str):
            name = request.resolver_match.url_name if request.resolver_match else ""
            self._note(request, (name or "act").rpartition(f"{self.opts.model_name}_")[2], obj, says=message)
        return super().log_change(request, obj, message)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        obj = self.get_object(request, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        return history.show(self, request, obj)

    def _note(self, request: HttpRequest, action: str, obj: Any, **how: Any) -> None:
        audit.note(audit.staff(request), action, obj, path=self.application_path, **how)

    def _gone(self, request: HttpRequest, obj: Any) -> AuditEntry:
        return audit.gone(audit.staff(request), obj, path=self.application_path)

    def offers(self, action: str, obj: Any) -> bool:
        """Return whether a button of the object's page makes sense in its present state."""
        return True

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        obj = self.get_object(request, object_id)
        offered = super().get_actions_detail(request, object_id)
        return [action for action in offered if self.offers(action.path, obj)]

    # -- the application: asked for only when there is a choice, and never changed

    def _asks_application(self, request: HttpRequest, obj: Any) -> bool:
        return len(staff.enters(request, self.changed_with if obj is None else Power.SEE)) > 1

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if self._asks_application(request, obj):
            return fieldsets
        return [(name, {**options, "fields": _without(options["fields"])}) for name, options in fieldsets]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if obj is None or "application" in fields else (*fields, "application")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if issubclass(form, ScopedForm):
            mine = staff.enters(request, self.changed_with)
            form.preset = mine[0] if len(mine) == 1 and has_application(self.model) else None
            form.paths = self._paths(self.model)
            form.names_application = len(mine) > 1
        return form

    # -- lists: no column and no filter that has one value only

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Tell the list what to say, unless it is empty because of what was searched or filtered for."""
        found: Any = super().get_changelist_instance(request)
        if not (found.result_count or found.query or found.get_filters_params()):
            found.empty, found.first_steps = self.empty, self._first_steps(request)
            if staff.begins(request) and self.model is not Application:
                found.before_all = _(
                    "There is no application yet, and all of this belongs to one: add it first."
                )
        return found

    def _first_steps(self, request: HttpRequest) -> list[tuple[str, Promise]]:
        """Return the address and words of what is to be added first, of which the member may add it."""
        related = self.admin_site._registry[Application] if staff.begins(request) else self
        return [
            (reverse(f"admin:{label.replace('.', '_')}_add"), words)
            for label, words in related.empty.first.items()
            if self.admin_site._registry[apps.get_model(label)].has_add_permission(request)
        ]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return self._with_choice(request, super().get_list_display(request))

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        found = self._with_choice(request, super().get_list_filter(request))
        return [(name, ScopedRelatedFilter) if self._is_relation(name) else name for name in found]

    def _with_choice(self, request: HttpRequest, names: Sequence[Any]) -> list[Any]:
        several = len(staff.enters(request)) > 1
        return [name for name in names if several or name != "application"]

    def _is_relation(self, name: str | tuple[Any, ...] | type[ListFilter]) -> bool:
        if not isinstance(name, str):
            return False
        try:
            field = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        return isinstance(field, Field) and bool(field.is_relation)


class ReadOnlyAdmin(ScopedAdmin):
    """Pages to look at: what they show is made by the hub, not by hand."""

    warn_unsaved_form = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def instant(epoch: float) -> str:
    """Return an instant of epoch seconds as pages write a date and time."""
    return date_format(datetime.fromtimestamp(epoch, UTC), "DATETIME_FORMAT")


def has_application(model: type[Model]) -> bool:
    """Return whether a model's rows name their application themselves."""
    return any(field.name == "application" for field in model._meta.fields)


def _without(fields: Sequence[Any]) -> list[Any]:
    """Return the fields of a fieldset without `application`, lines of several included."""
    kept: list[Any] = []
    for field in fields:
        if isinstance(field, list | tuple):
            line = [name for name in field if name != "application"]
            kept += [tuple(line)] if line else []
        elif field != "application":
            kept.append(field)
    return kept
