"""The composer's rows say what Unfold's own templates would: the same tags, classes and texts."""

from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.template.loader import render_to_string
from django.test import RequestFactory
from unfold.forms import AdminForm

from campaigns.models import Campaign
from campaigns.templatetags.composer import field_row
from devices.models import Role
from tests.admin_world import build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


class Tags(HTMLParser):
    """A row's tags with what they have, its classes in any order, and its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if tag == "div":
            given.pop("id", None)  # ours names the help, as inputs say that they are described by it
        given["class"] = set((given.get("class") or "").split())
        self.found.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.found.append(" ".join(data.split()))


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("role", [Role.MARKETER, Role.VIEWER])
def test_rows_say_what_unfold_would(role: Role, wrong: bool) -> None:
    world = build("Meadow")
    request = RequestFactory().get("/")
    request.user = member("eva", world.application, role)
    page: Any = admin.site._registry[Campaign]
    campaign = world.of(Campaign)
    form_class = page.get_form(request, campaign, change=True)
    form = form_class({"name": "", "title": ""} if wrong else None, instance=campaign)
    fieldsets = page.get_fieldsets(request, campaign)
    edits = page.has_change_permission(request, campaign)
    read = page.get_readonly_fields(request, campaign) if edits else flatten_fieldsets(fieldsets)
    adminform = AdminForm(form, fieldsets, {}, read, model_admin=page)
    lines = 0
    for fieldset in adminform:
        for line in fieldset:
            context = {"line": line, "adminform": adminform, "stacked": 1}
            theirs = render_to_string("unfold/helpers/fieldset_row.html", context)
            assert Tags(field_row(line)).found == Tags(theirs).found
            lines += 1
    assert lines > 60
    assert edits == (role == Role.MARKETER)
