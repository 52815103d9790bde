"""Attributes and options of inputs: a page has hundreds, and a template takes ten times as long over each."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_tag
def attributes(attrs: Mapping[str, Any]) -> SafeString:
    """Return attributes as Django's own template writes them: True as a name alone, False not at all."""
    return mark_safe(
        "".join(
            f" {conditional_escape(name)}"
            if value is True
            else f' {conditional_escape(name)}="{conditional_escape(str(value))}"'
            for name, value in attrs.items()
            if value is not False
        )
    )


@register.simple_tag
def options(widget: Mapping[str, Any]) -> SafeString:
    """Return the options of a select, in their groups."""
    return format_html_join("", "{}", ((_group(name, some),) for name, some, _index in widget["optgroups"]))


def _group(name: Any, some: list[Mapping[str, Any]]) -> SafeString:
    rows = ((one["value"], attributes(one["attrs"]), one["label"]) for one in some)
    inside = format_html_join("", '<option value="{}"{}>{}</option>', rows)
    return format_html('<optgroup label="{}">{}</optgroup>', name, inside) if name else inside
