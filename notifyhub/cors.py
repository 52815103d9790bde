"""Lets pages of other origins speak to what devices use of the API, with their subscriber token.

No cookie counts there, so every origin may ask; who may is what the token and the application's origins say.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

PATHS = tuple(
    f"/api/v1/{name}"
    for name in (
        "inbox",
        "receipts",
        "tickets",
        "preferences",
        "devices",
        "device-messages",
        "presence",
        "events",
        "web-push-key",
    )
)
HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Poll-After-Ms, Retry-After",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match, Last-Event-ID",
    "Access-Control-Max-Age": "86400",
}


def middleware(
    answer: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Answer preflights, and mark the answers of these addresses as readable for every origin."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PATHS):
            return answer(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return HttpResponse(status=204, headers=HEADERS | PREFLIGHT)
        found = answer(request)
        for name, value in HEADERS.items():
            found[name] = value
        return found

    return handle
