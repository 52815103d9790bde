"""Straight-line templates, text and `{{ name.key }}` alone, as one Python function: a tenth of Liquid's own cost.

What the function is made of are names of its own; texts and variables' names come in as values, never as source.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from liquid.builtin.content import ContentNode
from liquid.builtin.output import OutputNode
from liquid.stringify import to_liquid_string

Variables = Mapping[str, Any]


Path = tuple[str, ...]
"""A variable's name, and the keys of the objects that follow within each other."""
COMPUTED = frozenset({"size", "first", "last"})
"""Keys that Liquid knows in values that have no such key."""


class Straight(NamedTuple):
    """A template: its texts, and between each two of them a variable's path."""

    texts: tuple[str, ...]
    paths: tuple[Path, ...] = ()


def straight(nodes: Sequence[Any]) -> Straight | None:
    """Return what a parsed template's nodes are if they are straight, or None."""
    texts, paths = [""], []
    for node in nodes:
        if isinstance(node, ContentNode):
            texts[-1] += node.text
            continue
        expression = getattr(node, "expression", None)
        path = getattr(getattr(expression, "left", None), "path", None) or ()
        plain = isinstance(node, OutputNode) and path and all(isinstance(part, str) for part in path)
        if (
            not plain
            or COMPUTED & set(path[1:])
            or getattr(expression, "filters", None)
            or getattr(expression, "condition", None)
        ):
            return None
        paths.append(tuple(path))
        texts.append("")
    return Straight(tuple(texts), tuple(paths))


def writer(templates: Sequence[Straight]) -> Callable[[Variables], tuple[str, ...]]:
    """Return the function that writes all the templates from variables; each variable is looked up once."""
    paths = list(dict.fromkeys(path for template in templates for path in template.paths))
    values: dict[str, Any] = {"as_text": _as_text}
    lines = ["def write(variables):", " known = variables.get"]
    for at, (name, *keys) in enumerate(paths):
        values[f"name{at}"] = name
        lines.append(f" value{at} = known(name{at})")
        for depth, key in enumerate(keys):
            values[f"key{at}_{depth}"] = key
            lines.append(
                f" value{at} = value{at}.get(key{at}_{depth}) if isinstance(value{at}, dict) else None"
            )
        lines.append(f" if type(value{at}) is not str or '\\r' in value{at}: value{at} = as_text(value{at})")
    written = []
    for number, template in enumerate(templates):
        parts = []
        for at, text in enumerate(template.texts):
            values[f"text{number}_{at}"] = text
            parts.append(f"{{text{number}_{at}}}")
            if at < len(template.paths):
                parts.append(f"{{value{paths.index(template.paths[at])}}}")
        written.append(f"f'{''.join(parts)}'" if template.paths else f"text{number}_0")
    lines.append(f" return ({', '.join(written)},)")
    exec("\n".join(lines), values)
    made: Callable[[Variables], tuple[str, ...]] = values["write"]
    return made


def _as_text(value: Any) -> str:
    """Return a value as Liquid writes it; every line's end is one line feed, whatever a value brings."""
    text = value if type(value) is str else to_liquid_string(value, False)
    return text.replace("\r\n", "\n").replace("\r", "\n")
