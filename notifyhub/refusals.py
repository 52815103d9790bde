"""What Django itself refuses, before or beside a view: problem details for programs, a sentence for everybody else."""

import json

from django.contrib import admin
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults

from devices.problem_values import Problem

PROGRAMS = ("/api/", "/ws/")
"""What addresses of programs begin with."""
ADMIN = "/admin/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400; a host that is not ours is named, since that is what a new installation meets first."""
    if isinstance(exception, DisallowedHost):
        said = "The hub does not know the host that the request names. Add it to ALLOWED_HOSTS (settings.md)."
        if not request.path_info.startswith(PROGRAMS):
            return HttpResponse(f"{said}\n", "text/plain", 400)
        return _answer(Problem(400, "host-unknown", "The host is not known", said))
    if not request.path_info.startswith(PROGRAMS):
        return defaults.bad_request(request, exception)
    return _answer(Problem(400, "bad-request", "The request cannot be read", "Nothing was stored."))


def not_allowed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403 for what a role does not allow; in the admin in its colours."""
    problem = Problem(403, "not-allowed", "That is not allowed", "Nothing was done.")
    return _page("403.html", request, problem) or defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404; in the admin with a page that leads back."""
    said = "There is no such address; the API is under /api/v1/, and /api/v1/schema/ lists it."
    problem = Problem(404, "not-found", "There is no such thing", said)
    return _page("admin/404.html", request, problem) or defaults.page_not_found(request, exception)


def _page(template: str, request: HttpRequest, problem: Problem) -> HttpResponse | None:
    """Return the page of the admin or the problem for a program; None for everybody else."""
    if request.path_info.startswith(ADMIN):
        return render(request, template, admin.site.each_context(request), status=problem.status)
    return _answer(problem) if request.path_info.startswith(PROGRAMS) else None


def failed(request: HttpRequest) -> HttpResponse:
    """Answer 500."""
    if not request.path_info.startswith(PROGRAMS):
        return defaults.server_error(request)
    said = "This is a fault of the hub's; its log says more."
    return _answer(Problem(500, "internal", "The hub failed", said))


def plain_http(request: HttpRequest) -> HttpResponse:
    """Answer 426 (RFC 9110 section 15.5.22) to whoever asks for a WebSocket's address without one."""
    said = (
        "This is the address of a WebSocket: connect to it with ws:// or wss://. "
        "A proxy in front of the hub has to pass the headers Upgrade and Connection on."
    )
    answer = _answer(Problem(426, "upgrade-required", "A WebSocket is wanted", said))
    answer["Upgrade"], answer["Connection"] = "websocket", "Upgrade"
    return answer


def _answer(problem: Problem) -> HttpResponse:
    return HttpResponse(json.dumps(problem.as_dict()), "application/problem+json", problem.status)
