"""What whoever guesses passwords is told, once they are locked out."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def answer(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Return the page that says for how long (429, RFC 6585 section 4)."""
    wait = timedelta(hours=settings.AXES_COOLOFF_TIME)
    page = render(
        request,
        "admin/locked.html",
        {
            **admin.site.each_context(request),
            "failure_limit": settings.AXES_FAILURE_LIMIT,
            "minutes": int(wait.total_seconds() // 60),
        },
        status=429,
    )
    page["Retry-After"] = str(int(wait.total_seconds()))
    return page
