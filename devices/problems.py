"""Every error of the API as problem details (RFC 9457): the one place where an exception becomes an answer."""

from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.fields import get_error_detail
from rest_framework.response import Response
from rest_framework.settings import api_settings

from devices.problem_values import Problem

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 50
"""How many wrong fields an answer names."""
TITLES = {
    400: ("bad-request", "The request cannot be read"),
    401: ("not-authenticated", "Who are you?"),
    403: ("not-allowed", "That is not allowed"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "This address does not take that method"),
    406: ("not-acceptable", "No such representation"),
    413: ("too-large", "The body is too large"),
    415: ("unsupported-media-type", "This kind of body is not taken here"),
    429: ("too-many-requests", "Too many requests"),
}
NOT_HERE = "There is nothing at this address, or it is not yours."


class ProblemError(Exception):
    """Refuses a request with a problem; `members` are its extension members, `headers` go with the answer."""

    def __init__(
        self,
        problem: Problem,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.members = dict(members or {})
        self.headers = dict(headers or {})


def refuse(
    status: int, code: str, title: str, detail: str, *, pointer: str = "", **members: Any
) -> ProblemError:
    """Return a `ProblemError` to raise."""
    return ProblemError(Problem(status, code, title, detail, pointer), members=members)


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer an exception with problem details; what nobody expected is logged and answered with 500."""
    problem, members, headers = _told(error, context)
    response = Response(
        {**problem.as_dict(), **members}, status=problem.status, headers=headers, content_type=MEDIA_TYPE
    )
    if problem.status < 500:
        _note(problem, members, context.get("request"))
        response._has_been_logged = True  # type: ignore[attr-defined]  # by Django, which knows the address alone
    return response


def _note(problem: Problem, members: Mapping[str, Any], request: Any) -> None:
    """Log what was refused and to whom, without the values that were sent: they may be about people."""
    auth = getattr(request, "_auth", None)  # the property would sign in whoever was refused before that
    log.warning(
        "api.refused",
        method=getattr(request, "method", ""),
        path=getattr(request, "path", ""),
        status=problem.status,
        code=problem.code,
        pointers=[error["pointer"] for error in members.get("errors", [])][:5] or [problem.pointer],
        key=getattr(auth, "prefix", ""),
    )


Told = tuple[Problem, dict[str, Any], dict[str, str]]


def _told(error: Exception, context: Mapping[str, Any]) -> Told:
    if isinstance(error, ProblemError):
        return error.problem, error.members, error.headers
    if isinstance(error, exceptions.ValidationError):
        return _invalid(error)
    if isinstance(error, Http404):
        return Problem(404, *TITLES[404], NOT_HERE), {}, {}
    if isinstance(error, PermissionDenied):
        return Problem(403, *TITLES[403], str(error) or "This key may not do that."), {}, {}
    if isinstance(error, RequestDataTooBig):
        return Problem(413, *TITLES[413], "Send less at once."), {}, {}
    if isinstance(error, exceptions.APIException):
        return _of_framework(error, context.get("view"))
    view = type(context.get("view")).__name__
    if isinstance(error, OperationalError | InterfaceError):
        log.exception("api.database_unavailable", view=view)
        problem = Problem(
            503, "unavailable", "The hub cannot reach its database", "Nothing was stored; try again."
        )
        return problem, {}, {"Retry-After": "5"}
    log.exception("api.failed", view=view, database=isinstance(error, DatabaseError))
    return (
        Problem(500, "internal", "The hub failed", "This is a fault of the hub's; its log says more."),
        {},
        {},
    )


def _of_framework(error: exceptions.APIException, view: Any) -> Told:
    code, title = TITLES.get(
        error.status_code, (str(error.default_code).replace("_", "-"), "The request was refused")
    )
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    detail = _advice(error, view) or " ".join(said for _, said in _each(error.detail, ""))
    return Problem(error.status_code, code, title, detail), {}, headers


def _advice(error: exceptions.APIException, view: Any) -> str:
    """Return how to ask instead where the framework's own words only say that this was wrong; else an empty text."""
    if isinstance(error, exceptions.MethodNotAllowed):
        return f"Here it is {' or '.join(name for name in view.allowed_methods if name != 'OPTIONS')}."
    if isinstance(error, exceptions.UnsupportedMediaType):
        taken = " or ".join(parser.media_type for parser in view.parser_classes)
        return f"Send it with the header “Content-Type: {taken}”."
    if isinstance(error, exceptions.NotAcceptable):
        given = " or ".join(renderer.media_type for renderer in view.renderer_classes)
        return f"Answers are {given}: leave the header “Accept” out, or let it name that."
    if isinstance(error, exceptions.NotFound) and error.detail == exceptions.NotFound.default_detail:
        return NOT_HERE
    return ""


def _invalid(error: exceptions.ValidationError) -> Told:
    found = [{"pointer": pointer, "detail": said} for pointer, said in _each(error.detail, "")]
    first = found[0]
    where = f" ({first['pointer']})" if first["pointer"] else ""
    more = f" And {len(found) - 1} more." if len(found) > 1 else ""
    problem = Problem(400, "invalid", "Some values are wrong", f"{first['detail']}{where}{more}")
    return problem, {"errors": found[:MOST_ERRORS]}, {}


def _each(detail: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield every message of a validation error with the JSON pointer (RFC 6901) of its place."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            own = key in (api_settings.NON_FIELD_ERRORS_KEY, "__all__")
            yield from _each(value, pointer if own else f"{pointer}/{_step(key)}")
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            # a list of texts are messages about one place, a list of objects are places
            yield from _each(value, f"{pointer}/{index}" if isinstance(value, Mapping | list) else pointer)
    else:
        yield pointer, str(detail)


def _step(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def from_django(error: Any) -> exceptions.ValidationError:
    """Return Django's validation error (of a model's field or `clean`) as the framework's."""
    return exceptions.ValidationError(get_error_detail(error))
