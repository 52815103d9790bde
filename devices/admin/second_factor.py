"""The page where a member of the staff sets up a second factor, shows it, renews its recovery codes or removes it."""

from collections.abc import Sequence
from typing import Any

import segno
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from devices import second_factor
from devices.models import SecondFactor


def address(back: str) -> str:
    """Return the page's address, from which the person comes back to where they were."""
    return f"{reverse('admin:devices_second_factor')}?{urlencode({'next': back})}"


def asked_first(request: HttpRequest, back: str) -> HttpResponse | None:
    """Return the way to the second factor when it has to be shown before what was asked; nothing was done then."""
    todo = second_factor.missing(request)
    if not todo:
        return None
    messages.warning(
        request,
        _("Nothing was done yet: set up a second factor first.")
        if todo == "set up"
        else _("Nothing was done yet: show your second factor first."),
    )
    return HttpResponseRedirect(address(back))


def notice(request: HttpRequest, back: str) -> SafeString | str:
    """Return what a page says when its buttons will ask for a second factor, with the way to it."""
    todo = second_factor.missing(request)
    if not todo:
        return ""
    said = (
        _("Approving and launching need a second factor, and you have none.")
        if todo == "set up"
        else _("Approving and launching ask for your second factor.")
    )
    link = _("Set it up") if todo == "set up" else _("Show it")
    return format_html('{} <a class="nh-link" href="{}">{}</a>', said, address(back), link)


@sensitive_post_parameters("code")
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Return the page, or do what was asked on it."""
    factor = second_factor.of(request)
    if request.method == "POST":
        return _posted(request, factor)
    return _page(request, factor)


def _posted(request: HttpRequest, factor: SecondFactor | None) -> HttpResponse:
    wanted = request.POST.get("do", "show")
    if factor is not None and wanted != "show":
        if not second_factor.is_fresh(request, factor):
            messages.warning(request, _("Show your second factor first."))
        elif wanted == "renew":
            return _page(request, factor, codes=second_factor.confirm(factor))
        elif wanted == "remove":
            factor.delete()
            messages.success(request, _("The second factor is removed."))
        return HttpResponseRedirect(request.get_full_path())
    shown = factor or second_factor.begun(request)
    if not second_factor.show(request, shown, request.POST.get("code", "")[:64]):
        return _page(request, factor, error=_why(shown))
    if factor is None:
        messages.success(request, _("The second factor is set up."))
        return _page(request, shown, codes=second_factor.confirm(shown))
    messages.success(request, _("That is you."))
    return HttpResponseRedirect(_back(request) or reverse("admin:devices_second_factor"))


def _why(factor: SecondFactor) -> str:
    until = second_factor.locked_until(factor)
    if until is None or factor.throttling_failure_count < 3:
        return _("This code is not right. Codes change every 30 seconds, and each counts once.")
    return _("This code is not right. After so many wrong ones the next is taken at %(at)s.") % {
        "at": f"{localtime(until):%H:%M:%S}"
    }


def _page(
    request: HttpRequest, factor: SecondFactor | None, *, codes: Sequence[str] = (), error: str = ""
) -> HttpResponse:
    begun = second_factor.begun(request) if factor is None else None
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Second factor"),
        "factor": factor,
        "fresh": bool(factor and second_factor.is_fresh(request, factor)),
        "required": second_factor.is_required(),
        "codes": codes,
        "left": len(factor.recovery) if factor else 0,
        "error": error,
        "next": _back(request),
    }
    if begun is not None:
        picture = segno.make(second_factor.address_of(begun), error="m")
        context["picture"] = picture.svg_data_uri(scale=5, border=4, light="#fff")
        context["secret"] = second_factor.secret_of(begun)
    return TemplateResponse(request, "admin/devices/second_factor.html", context)


def _back(request: HttpRequest) -> str:
    """Return where the person came from, if that is a page of ours."""
    back = request.GET.get("next", "")
    ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return back if ours else ""
