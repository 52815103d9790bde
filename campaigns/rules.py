"""CEL expressions over an event: compiled once, refused with line and reason, evaluated within limits.

The language is CEL (https://github.com/google/cel-spec) as the `cel` package speaks it. An
expression sees one variable, `event`, with `id`, `source`, `type`, `subject`, `time` (a
timestamp) and `data`.

Nothing in CEL stops an expression that walks a long list within a long list: it would hold up
every other event of its lane. So an expression may nest such macros twice at most, and one is
refused for an event whose lists are too long for it (see `WORK`).
"""

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cel

from devices.words import gettext
from devices.words import gettext_noop as _

TEXT_LIMIT = 2_000
"""Characters an expression may have."""

MACROS_LIMIT = 5
NESTING_LIMIT = 2
"""Macros over lists (`all`, `exists`, `map` and the like) in one expression, and within each other."""

WORK = 1_000_000
"""Steps an expression may take: the longest list's length to the power of the macros nested in each
other; `map` and `filter` count once more, because they copy what they have collected at every step
(measured: 1,000 elements 30 ms, 16,000 elements 7 s)."""

FUNCTIONS = frozenset(
    (
        *("bytes", "double", "duration", "dyn", "int", "size", "string", "timestamp", "type", "uint"),
        *("contains", "endsWith", "matches", "startsWith"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    )
)
"""What may be called, beside the macros."""

AT_LINE = _("line %(line)s, column %(column)s: %(reason)s")
EMPTY = _("the expression is empty")
TOO_LONG = _("the expression has %(count)s characters; %(most)s are the most")
UNKNOWN_NAME = _("unknown name “%(name)s”; an expression sees “event” alone")
UNKNOWN_FUNCTION = _("unknown function “%(name)s”; %(hint)s")
DID_YOU_MEAN = _("did you mean “%(near)s”?")
THERE_ARE = _("there are %(listed)s")
TOO_MANY_MACROS = _("at most %(macros_limit)s macros over lists, %(nesting_limit)s within each other")
NOT_CEL = _("this is no CEL expression")
ENDS_TOO_EARLY = _("the expression ends too early")
UNEXPECTED = _("unexpected %(found)s")
LONG_LISTS = _("The event's lists are too long for this expression.")
NO_FIELD = _("The event has no field %(args)s.")
OTHER_KIND = _("A value is of another kind than the expression expects.")
NOT_EVALUATED = _("The expression could not be evaluated.")

REMARKS = (
    AT_LINE,
    EMPTY,
    TOO_LONG,
    UNKNOWN_NAME,
    UNKNOWN_FUNCTION,
    DID_YOU_MEAN,
    THERE_ARE,
    TOO_MANY_MACROS,
    NOT_CEL,
    ENDS_TOO_EARLY,
    UNEXPECTED,
    LONG_LISTS,
    NO_FIELD,
    OTHER_KIND,
    NOT_EVALUATED,
)
"""What decisions keep of it in English (`campaigns.deciding.said`)."""

_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+)")
_NO_CODE = re.compile(
    r"""//[^\n]*|[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|\"[^\"]*\"|'[^']*')"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'""",
    re.DOTALL,
)
"""Comments and texts: what stands in them is not code."""
_TOKEN = re.compile(
    r"\.\s*(?P<macro>all|exists_one|exists|map|filter)\s*\(\s*(?P<name>[A-Za-z_]\w*)?|(?P<open>\()|(?P<close>\))"
)


class RuleError(Exception):
    """An expression that does not compile: `line` and `column` (from 1) and the reason."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        self.line, self.column, self.reason = line, column, reason
        super().__init__(gettext(AT_LINE) % {"line": line, "column": column, "reason": reason})


class EvaluationError(Exception):
    """An expression that gives no value for an event, with the reason in an English sentence."""


class Expression:
    """A compiled expression; `compile_expression` makes it. May be shared by threads."""

    __slots__ = ("_power", "_program", "source")

    def __init__(self, source: str, program: cel.Program, power: int) -> None:
        self.source = source
        self._program = program
        self._power = power

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Return the expression's value for `{"event": {…}}`; raises `EvaluationError`."""
        if self._power > 1 and _longest(variables) ** self._power > WORK:
            raise EvaluationError(LONG_LISTS)
        try:
            return self._program.execute(dict(variables))
        except KeyError as error:
            raise EvaluationError(NO_FIELD % {"args": error.args[0] if error.args else ""}) from None
        except TypeError:
            raise EvaluationError(OTHER_KIND) from None
        except Exception as error:
            raise EvaluationError(_sentence(str(error))) from None
        except BaseException as error:
            # a panic in the Rust library derives from BaseException; a request to stop must go on
            if type(error).__name__ != "PanicException":
                raise
            raise EvaluationError(NOT_EVALUATED) from None


@lru_cache(maxsize=4_096)
def compile_expression(text: str) -> Expression:
    """Return the compiled expression, the same for the same text.

    Raises `RuleError` for what is not CEL, for a variable other than `event`, for an unknown
    function and for what is past the limits of this module.
    """
    if not text.strip():
        raise RuleError(1, 1, gettext(EMPTY))
    if len(text) > TEXT_LIMIT:
        raise RuleError(1, 1, gettext(TOO_LONG) % {"count": len(text), "most": TEXT_LIMIT})
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise _refusal(str(error)) from None
    code = _NO_CODE.sub(lambda found: re.sub(r"\S", " ", found[0]), text)
    depth, bound, copies = _macros(code)
    for name in program.variables():
        if name != "event" and name not in bound:
            raise RuleError(*_place(code, name), gettext(UNKNOWN_NAME) % {"name": name})
    for name in program.functions():
        if name[0].isalpha() and name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, n=1)
            hint = (
                gettext(DID_YOU_MEAN) % {"near": near[0]}
                if near
                else gettext(THERE_ARE) % {"listed": ", ".join(sorted(FUNCTIONS))}
            )
            raise RuleError(*_place(code, name), gettext(UNKNOWN_FUNCTION) % {"name": name, "hint": hint})
    return Expression(text, program, depth + copies)


def _macros(code: str) -> tuple[int, set[str], bool]:
    """Return how deep macros over lists are nested, the names they bind and whether one copies."""
    depth = deepest = count = 0
    bound: set[str] = set()
    copies = False
    stack: list[bool] = []
    for token in _TOKEN.finditer(code):
        if macro := token["macro"]:
            count, depth = count + 1, depth + 1
            deepest = max(deepest, depth)
            copies = copies or macro in ("map", "filter")
            bound.add(token["name"] or "")
            stack.append(True)
            if count > MACROS_LIMIT or depth > NESTING_LIMIT:
                limits = {"macros_limit": MACROS_LIMIT, "nesting_limit": NESTING_LIMIT}
                raise RuleError(*_at(code, token.start()), gettext(TOO_MANY_MACROS) % limits)
        elif token["open"]:
            stack.append(False)
        elif token["close"] and stack:
            depth -= stack.pop()
    return deepest, bound, copies


def _refusal(message: str) -> RuleError:
    found = _ERROR.findall(message)
    if not found:
        return RuleError(1, 1, gettext(NOT_CEL))
    line, column, reason = next((error for error in found if error[2].startswith("Syntax error")), found[0])
    reason = reason.removeprefix("Syntax error: ")
    if "'<EOF>' expecting" in reason:
        reason = gettext(ENDS_TOO_EARLY)
    elif unexpected := re.match(r"(?:extraneous|mismatched|no viable alternative at) input ('.*?')", reason):
        reason = gettext(UNEXPECTED) % {"found": unexpected[1]}
    return RuleError(int(line), int(column), reason)


def _place(code: str, name: str) -> tuple[int, int]:
    found = re.search(rf"\b{re.escape(name)}\b", code)
    return _at(code, found.start() if found else 0)


def _at(text: str, offset: int) -> tuple[int, int]:
    line = text.count("\n", 0, offset) + 1
    return line, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _longest(value: Any) -> int:
    """Return the length of the longest list or object anywhere in a value."""
    longest, left = 0, [value]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            longest = max(longest, len(value))
            left.extend(value.values())
        elif isinstance(value, list):
            longest = max(longest, len(value))
            left.extend(value)
    return longest


def _sentence(text: str) -> str:
    first = text.split(". ")[0].strip()[:200]
    return (first[:1].upper() + first[1:]).rstrip(".") + "."
