"""The history of an object: what was done to it, by whom, from where, with the differences word by word."""

import difflib
import re
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import Paginator
from django.db.models import BooleanField, Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from devices import audit
from devices.models import AuditEntry

ON_A_PAGE = 50
WORDS = {
    audit.CREATED: _("Made"),
    audit.CHANGED: _("Changed"),
    audit.DELETED: _("Deleted"),
    "take_back": _("Taken back"),
}
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")


def word_of(name: str, page: Any = None) -> str:
    """Return an action for people; what a button of a `page` did is called as the button is."""
    button = getattr(getattr(page, name, None), "short_description", "")
    return str(WORDS.get(name) or button or capfirst(name.replace("_", " ")))


def difference(before: str, after: str) -> SafeString:
    """Return two texts as one, word by word, with what went and what came marked."""
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    if len(old) + len(new) > 4_000:
        old, new = [before], [after]
    pieces: list[SafeString] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(format_html("{}", "".join(old[a:b])))
            continue
        if b > a:
            pieces.append(format_html("<del>{}</del>", "".join(old[a:b])))
        if d > c:
            pieces.append(format_html("<ins>{}</ins>", "".join(new[c:d])))
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def changes_of(entry: AuditEntry, model: type[Model] | None) -> list[tuple[str, SafeString]]:
    """Return the fields that an entry says have changed, by the names that their pages use."""
    found = []
    for name, (before, after) in entry.changes.items():
        field = _field(model, name)
        shown = difference(_chosen(field, before), _chosen(field, after))
        found.append((capfirst(str(getattr(field, "verbose_name", name))) if field else name, shown))
    return found


def _field(model: type[Model] | None, name: str) -> Any:
    try:
        return model._meta.get_field(name) if model is not None else None
    except FieldDoesNotExist:
        return None


def _chosen(field: Any, value: str) -> str:
    """Return a value as the field's page says it, where there it is chosen."""
    if isinstance(field, BooleanField):
        return {"True": gettext("Yes"), "False": gettext("No")}.get(value, value)
    return str(dict(getattr(field, "flatchoices", ())).get(value, value))


def show(page: Any, request: HttpRequest, obj: Model) -> HttpResponse:
    """Return the page of what was done to an object, newest first."""
    found = Paginator(audit.of(obj), ON_A_PAGE).get_page(request.GET.get("p"))
    context = {
        **page.admin_site.each_context(request),
        "title": gettext("History of “%(name)s”") % {"name": obj},
        "opts": page.opts,
        "object": obj,
        "rows": [
            (one, one.actor.removeprefix("user:"), word_of(one.action, page), changes_of(one, type(obj)))
            for one in found
        ],
        "found": found,
    }
    return TemplateResponse(request, "admin/devices/history.html", context)
