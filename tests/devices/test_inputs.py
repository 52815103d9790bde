"""Attributes and options of inputs, against Django's own templates."""

from pathlib import Path
from typing import Any

import django.forms
from django import forms
from django.template import Context, Engine
from hypothesis import given
from hypothesis import strategies as st
from unfold.widgets import UnfoldAdminSelectWidget

from devices.templatetags.inputs import attributes, options

OWN = Engine(dirs=[Path(django.forms.__file__).parent / "templates"])
"""Django's templates as they are without ours."""

values = st.one_of(st.booleans(), st.integers(), st.text(max_size=20), st.none())
names = st.text("abcdefgh-:&\"'<>", min_size=1, max_size=8)


def by_django(name: str, widget: dict[str, Any]) -> str:
    return OWN.get_template(f"django/forms/widgets/{name}.html").render(Context({"widget": widget}))


@given(st.dictionaries(names, values, max_size=5))
def test_attributes_are_those_that_django_writes(attrs: dict[str, Any]) -> None:
    assert attributes(attrs) == by_django("attrs", {"attrs": attrs})


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4), st.text("<&a", min_size=1))
def test_options_are_those_that_django_writes(choices: list[tuple[str, str]], group: str) -> None:
    select = forms.Select(choices=[*choices, (group, [(1000, "<b>"), ("x", "y")])])
    widget = select.get_context("a", "x", {})["widget"]
    theirs = by_django("select", widget).partition(">")[2].rpartition("</select>")[0]
    assert squeezed(options(widget)) == squeezed(theirs)


def test_a_select_of_the_admin_has_its_options_and_says_which_is_chosen() -> None:
    html = UnfoldAdminSelectWidget(choices=[("a", "A & B"), ("b", "C")]).render("s", "b", {"id": "id_s"})
    assert '<option value="a">A &amp; B</option><option value="b" selected>C</option></select>' in html
    assert '<select name="s" class="' in html
    assert ' id="id_s">' in html


def squeezed(html: str) -> str:
    """Return markup without the white space that Django's template has between its tags."""
    return html.replace("\n", "").replace("  ", "").replace("> <", "><")
