"""Whoever looks at the admin: the language they chose, and the time zone that their browser's clock is in.

Everything else, the API above all, is said in English and in UTC whatever a request asks for: what stands there is
read by engineers and programs. The preference centre has its own languages, the subscriber's.
"""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST
from django.views.defaults import page_not_found, permission_denied

from devices.models import StaffSettings
from devices.viewer_zone import browser_zone


class ViewerMiddleware:
    """Activates the viewer's language and time zone on the admin's pages, English and UTC elsewhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        in_admin = request.path_info.startswith("/admin/")
        language = viewer_language(request) if in_admin else settings.LANGUAGE_CODE
        zone = browser_zone(request) if in_admin else ""
        request.LANGUAGE_CODE = language
        with translation.override(language), timezone.override(ZoneInfo(zone) if zone else None):
            answer = self.get_response(request)
        if in_admin:
            answer.headers.setdefault("Content-Language", language)
            patch_vary_headers(answer, ("Accept-Language",))
        return answer


def viewer_language(request: HttpRequest) -> str:
    """Return the language that the person chose, else the one that their browser asks for."""
    if request.user.is_authenticated:
        row = StaffSettings.objects.filter(user_id=request.user.pk).first()
        if row is not None and row.language in dict(settings.LANGUAGES):
            return row.language
    return translation.get_language_from_request(request)


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Keep a language for the person, and for the sign-in page of this browser; go back to where they were."""
    language, back = request.POST.get("language", ""), request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = reverse("admin:index")
    answer = HttpResponseRedirect(back)
    if language not in dict(settings.LANGUAGES):
        return answer
    if request.user.is_authenticated:
        StaffSettings.objects.update_or_create(user_id=request.user.pk, defaults={"language": language})
    answer.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
    return answer


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for a page that is not there: in the admin with one that leads back, elsewhere as Django does."""
    if not request.path_info.startswith("/admin/"):
        return page_not_found(request, exception)
    return render(request, "admin/404.html", admin.site.each_context(request), status=404)


def not_allowed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for what a role does not allow, in the admin in its colours."""
    if not request.path_info.startswith("/admin/"):
        return permission_denied(request, exception)
    return render(request, "403.html", admin.site.each_context(request), status=403)


def script(request: HttpRequest) -> str:
    """Return the address of the script that tells the browser's time zone; Unfold puts it on every page."""
    return static("devices/viewer.js")


def style(request: HttpRequest) -> str:
    """Return the address of the style of what every page shows besides."""
    return static("devices/viewer.css")


def language_address(request: HttpRequest) -> str:
    """Return where Unfold's menu of languages sends the choice."""
    return reverse("choose-language")
