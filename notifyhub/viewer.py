"""Whoever looks at the admin: the language they chose, and the time zone that their browser's clock is in.

Everything else, the API above all, is said in English and in UTC whatever a request asks for: what stands there is
read by engineers and programs. The preference centre has its own languages, the subscriber's.
"""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

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


def script(request: HttpRequest) -> str:
    """Return the address of the script that tells the browser's time zone; Unfold puts it on every page."""
    return static("devices/viewer.js")


def style(request: HttpRequest) -> str:
    """Return the address of the style of what every page shows besides."""
    return static("devices/viewer.css")


def language_address(request: HttpRequest) -> str:
    """Return where Unfold's menu of languages sends the choice."""
    return reverse("choose-language")
