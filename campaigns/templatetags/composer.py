"""The composer's fields in their rows, as Unfold draws them: there are ninety, and its templates took 3 ms for each."""

from typing import Any

from django import template
from django.forms import BoundField
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from unfold.widgets import CHECKBOX_LABEL_CLASSES, LABEL_CLASSES

register = template.Library()

LINE = (
    "field-line flex flex-col grow group group/line px-3 py-2.5 border-b border-base-200 border-dashed min-h-[59px]"
    " group-[.last]/row:border-b-0 lg:border-l lg:flex-row lg:items-center dark:border-base-800 lg:first:border-l-0"
)
BESIDE = "lg:min-w-56 lg:w-56 lg:h-[38px] lg:flex lg:items-center lg:self-start lg:leading-[38px] lg:*:m-0"
CHECKBOX_BESIDE = "font-medium flex items-start -ml-2 min-w-32 w-32 lg:min-w-56 lg:w-56"
LABEL, CHECKBOX_LABEL = " ".join(LABEL_CLASSES), " ".join(CHECKBOX_LABEL_CLASSES)
REQUIRED = mark_safe('<span class="text-red-600 dark:text-red-500">*</span>')


@register.simple_tag
def field_row(line: Any, last: bool = False) -> SafeString:
    """Return a line of a fieldset: its fields beside each other, each with its label, help and errors."""
    columns = f" grid lg:grid-cols-{len(line.fields)}" if len(line.fields) > 1 else ""
    shown = "" if line.has_visible_field else " hidden"
    fields = format_html_join("", "{}", ((_field(one),) for one in line))
    classes = f"form-row field-row group/row{columns}{shown}{' last' if last else ''}"
    return format_html('<div class="{}">{}</div>', classes, fields)


def _field(one: Any) -> SafeString:
    if one.is_readonly:
        return format_html('<div class="{}">{}</div>', LINE, _read(one))
    field: BoundField = one.field
    wrong = field.errors
    errors = (
        format_html('<div class="mt-2 text-red-600 text-xs dark:text-red-500">{}</div>', wrong)
        if wrong
        else ""
    )
    inside = _checkbox(field, errors) if one.is_checkbox else _input(field, errors)
    classes = f"{LINE} field-{field.name}{' errors' if wrong else ''}"
    return format_html('<div class="{}">{}</div>', classes, inside)


def _read(one: Any) -> SafeString:
    value = render_to_string("unfold/helpers/field_readonly_value.html", {"field": one})
    said = _help(one.field.get("help_text"), "")
    return format_html(
        '<div class="{}">{}</div><div class="grow relative">{}{}</div>', BESIDE, one.label_tag(), value, said
    )


def _input(field: BoundField, errors: str) -> SafeString:
    return format_html(
        '<div class="{}">{}</div><div class="grow relative">{}{}{}</div>',
        BESIDE,
        _label(field, LABEL),
        field,
        _help(field.help_text, field.auto_id),
        errors,
    )


def _checkbox(field: BoundField, errors: str) -> SafeString:
    said = _help(field.help_text, field.auto_id)
    return format_html(
        '<div class="flex flex-col gap-2 py-2 lg:flex-row"><div class="{}">{}</div>'
        '<div class="grow"><div class="flex flex-col lg:flex-row">{}{}</div>{}</div></div>',
        CHECKBOX_BESIDE,
        _label(field, CHECKBOX_LABEL),
        field,
        format_html('<div class="lg:-mt-2 lg:ml-2">{}</div>', said) if said else "",
        errors,
    )


def _label(field: BoundField, classes: str) -> SafeString:
    target = field.id_for_label
    named = format_html(' for="{}"', target) if target else ""
    if not field.field.required:
        return format_html('<label class="{}"{}>{}</label>', classes, named, field.label)
    return format_html('<label class="{} required"{}>{}{}</label>', classes, named, field.label, REQUIRED)


def _help(text: Any, identity: str) -> SafeString:
    """Return the help of a field under the name that its input says it is described by; texts are our own."""
    if not text:
        return SafeString()
    named = format_html(' id="{}_helptext"', identity) if identity else ""
    return format_html('<div class="leading-relaxed mt-2 text-xs"{}>{}</div>', named, mark_safe(text))
