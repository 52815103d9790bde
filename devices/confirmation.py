"""The page that asks before something is done that people will notice."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse


class RefusedError(Exception):
    """What was confirmed could not be done; the text says why and how to go on."""


def confirmed(
    admin: Any,
    request: HttpRequest,
    obj: Any,
    *,
    question: str,
    button: str,
    do: Callable[[], str],
    facts: Sequence[str] = (),
    problems: Sequence[str] = (),
    danger: bool = False,
    words: str = "",
    form: Form | None = None,
) -> HttpResponse:
    """Ask first (GET); on yes (POST) do it, note it in the object's history and go back to its page.

    `do` returns the sentence that says what was done, or raises `RefusedError`. With `problems`
    there is nothing to confirm: they are shown and a POST changes nothing. `words` must be typed
    to go on, letter case and spaces around them apart. `form` is asked besides; `do` validates it.
    """
    meta = obj._meta
    back = reverse(f"{admin.admin_site.name}:{meta.app_label}_{meta.model_name}_change", args=[obj.pk])
    typed = request.POST.get("words", "")
    agreed = _plain(typed) == _plain(words) if words else True
    if request.method == "POST" and not problems and agreed:
        try:
            done = do()
        except RefusedError as error:
            messages.error(request, str(error))
        else:
            admin.log_change(request, obj, done)
            messages.success(request, done)
        return HttpResponseRedirect(back)
    context = {
        **admin.admin_site.each_context(request),
        "title": question,
        "opts": meta,
        "object": obj,
        "facts": facts,
        "problems": problems,
        "button": button,
        "danger": danger,
        "back": back,
        "form": form,
        "words": words,
        "typed": typed,
        "mistyped": request.method == "POST" and not agreed,
    }
    return TemplateResponse(request, "admin/confirm.html", context)


def _plain(text: str) -> str:
    """Return a text as two people would agree that they wrote the same."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()
