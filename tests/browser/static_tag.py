"""The `static` tag without the hub's apps: the fake hub serves what stands under /static/."""

from django import template

register = template.Library()


@register.simple_tag
def static(path: str) -> str:
    """Return the address of a static file."""
    return f"/static/{path}"
