"""Straight-line templates, text and `{{ name }}` alone, as one Python function: a tenth of what Liquid's own way costs.

What the function is made of are names of its own; texts and variables' names come in as values, never as source.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from liquid.builtin.content import ContentNode
from liquid.builtin.output import OutputNode
from liquid.stringify import to_liquid_string

Variables = Mapping[str, Any]


class Straight(NamedTuple):
    """A template: its texts, and between each two of them a variable's name."""

    texts: tuple[str, ...]
    names: tuple[str, ...] = ()


def straight(nodes: Sequence[Any]) -> Straight | None:
    """Return what a parsed template's nodes are if they are straight, or None."""
    texts, names = [""], []
    for node in nodes:
        if isinstance(node, ContentNode):
            texts[-1] += node.text
            continue
        expression = getattr(node, "expression", None)
        path = getattr(getattr(expression, "left", None), "path", None)
        plain = isinstance(node, OutputNode) and path and len(path) == 1 and isinstance(path[0], str)
        if not plain or getattr(expression, "filters", None) or getattr(expression, "condition", None):
            return None
        assert path is not None
        names.append(path[0])
        texts.append("")
    return Straight(tuple(texts), tuple(names))


def writer(templates: Sequence[Straight]) -> Callable[[Variables], tuple[str, ...]]:
    """Return the function that writes all the templates from variables; each variable is looked up once."""
    names = list(dict.fromkeys(name for template in templates for name in template.names))
    values: dict[str, Any] = {"as_text": _as_text}
    lines = ["def write(variables):", " known = variables.get"]
    for at, name in enumerate(names):
        values[f"name{at}"] = name
        lines.append(f" value{at} = known(name{at})")
        lines.append(f" if type(value{at}) is not str or '\\r' in value{at}: value{at} = as_text(value{at})")
    written = []
    for number, template in enumerate(templates):
        parts = []
        for at, text in enumerate(template.texts):
            values[f"text{number}_{at}"] = text
            parts.append(f"{{text{number}_{at}}}")
            if at < len(template.names):
                parts.append(f"{{value{names.index(template.names[at])}}}")
        written.append(f"f'{''.join(parts)}'" if template.names else f"text{number}_0")
    lines.append(f" return ({', '.join(written)},)")
    exec("\n".join(lines), values)
    made: Callable[[Variables], tuple[str, ...]] = values["write"]
    return made


def _as_text(value: Any) -> str:
    """Return a value as Liquid writes it; every line's end is one line feed, whatever a value brings."""
    text = value if type(value) is str else to_liquid_string(value, False)
    return text.replace("\r\n", "\n").replace("\r", "\n")
