"""The page of a run: what it says, what it has come to so far, and the buttons that stop it."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display

from delivery import remarks, runs, snapshot
from delivery.admin import report_pages
from delivery.admin.run_numbers import BUTTONS, numbers
from delivery.models import Run
from devices.confirmation import RefusedError, confirmed
from devices.models import Power
from devices.scoped_admin import Empty, ReadOnlyAdmin
from devices.words import number

STATE_LABELS = {
    Run.State.PLANNED: "info",
    Run.State.RUNNING: "primary",
    Run.State.PAUSED: "warning",
    Run.State.DONE: "success",
    Run.State.CANCELLED: "default",
    Run.State.FAILED: "danger",
}


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs: made by launches and rules, watched and stopped here."""

    empty = Empty(
        _(
            "A run is one sending of a campaign, with its progress, its buttons and its report. It begins"
            " when a campaign is launched, or when an event meets a rule."
        ),
        {"campaigns.campaign": _("Write a campaign")},
    )
    list_display = ["named", "application", "kind", "lane", "state_shown", "created_at", "finished_at"]
    list_filter = ["application", "state", "lane", "kind"]
    list_select_related = ["application"]
    search_fields = ["title", "origin"]
    date_hierarchy = "created_at"
    change_form_outer_before_template = "admin/delivery/run/progress.html"
    fieldsets = [
        (_("What it says"), {"fields": ["says", "category"]}),
        (_("Run"), {"fields": ["application", ("kind", "lane"), "state", "because"]}),
        (_("When"), {"fields": [("created_at", "started_at"), ("finished_at", "recalled_at"), "expires_at"]}),
        (_("For developers"), {"fields": ["uid", "origin"]}),
    ]
    readonly_fields = ["says", "because", "uid"]
    actions = ["compare"]
    actions_detail = ["pause", "resume", "retire_and_resume", "cancel", "recall"]

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["delivery/admin.css"]}
        js: ClassVar[list[Any]] = [forms.Script("delivery/run.js", defer=True)]

    @display(description=_("title"), ordering="title")
    def named(self, run: Run) -> str:
        return str(run)

    @display(description=_("State"), ordering="state", label=STATE_LABELS)
    def state_shown(self, run: Run) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @display(description=_("reason"))
    def because(self, run: Run) -> str:
        return run.because or "—"

    @display(description=_("Text"))
    def says(self, run: Run) -> str | SafeString:
        frozen = snapshot.from_json(run.snapshot)
        text = frozen.texts[frozen.locale]
        return " — ".join(part for part in (text.title, text.body) if part) or "—"

    # -- the numbers, renewed while the run goes on

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.numbers_view)
        report, table, compare = map(
            self.admin_site.admin_view, (self.report_view, self.report_csv_view, self.compare_view)
        )
        return [
            path("compare/", compare, name="delivery_run_compare"),
            path("<path:object_id>/numbers/", view, name="delivery_run_numbers"),
            path("<path:object_id>/report/", report, name="delivery_run_report"),
            path("<path:object_id>/report.csv", table, name="delivery_run_report_csv"),
            *super().get_urls(),
        ]

    def report_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what came of the run."""
        return report_pages.page(self, request, self.get_object(request, object_id))

    def report_csv_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with what came of the run as a table for spreadsheets."""
        return report_pages.download(self.get_object(request, object_id))

    @action(description=_("Compare"), permissions=["view"])
    def compare(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse:
        keys = list(queryset.values_list("pk", flat=True)[: report_pages.MOST_COMPARED])
        return HttpResponseRedirect(
            reverse("admin:delivery_run_compare") + "?" + "&".join(f"run={key}" for key in keys)
        )

    def compare_view(self, request: HttpRequest) -> HttpResponse:
        """Show some of the member's runs side by side."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return report_pages.comparison(self, request)

    def numbers_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with the part of the page that changes."""
        run = self.get_object(request, object_id)
        return TemplateResponse(
            request,
            "admin/delivery/run/numbers.html",
            numbers(run, may_press=self.may_press(request, run)),
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        shown = numbers(run, may_press=self.may_press(request, run))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Leave out of the list what is large and shown on a run's own page alone."""
        rows: QuerySet[Run] = super().get_queryset(request)
        match = request.resolver_match
        return (
            rows.defer("snapshot")
            if match is not None and match.url_name == "delivery_run_changelist"
            else rows
        )

    # -- the buttons; they stand among the numbers, which know the state of now

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        return []

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.STOP, obj)

    def has_retire_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.OPERATE, obj)

    def may_press(self, request: HttpRequest, run: Run) -> frozenset[str]:
        """Return the names of the buttons that the member may press for this run, whatever its state."""
        return frozenset(
            name
            for name in BUTTONS
            if all(
                getattr(self, f"has_{needed}_permission")(request, run)
                for needed in getattr(self, name).allowed_permissions
            )
        )

    @action(description=_("Pause"), permissions=["operate"])
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=gettext("Pause “%(run)s”?") % {"run": run},
            facts=[
                gettext("Nothing more is sent until it is resumed."),
                gettext("What expires meanwhile is not sent afterwards."),
            ],
            button=gettext("Pause the run"),
            do=lambda: runs.pause(run),
            done=gettext("Paused: nothing more is sent until it is resumed."),
        )

    @action(description=_("Resume"), permissions=["operate"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        because = {"reason": run.because}
        return self._asked(
            request,
            run,
            question=gettext("Go on with “%(run)s”?") % {"run": run},
            facts=[
                _waiting(run),
                *(
                    [gettext("It was paused because %(reason)s") % because]
                    if run.brake == Run.Brake.TRIPPED
                    else []
                ),
            ],
            button=gettext("Resume the run"),
            do=lambda: runs.resume(run),
            done=gettext("Resumed."),
        )

    @action(description=_("Retire the devices and resume"), permissions=["retire"])
    def retire_and_resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=gettext("Go on with “%(run)s”, and retire every device whose token is refused?")
            % {"run": run},
            facts=[
                run.because,
                gettext("Retired devices get nothing more until their app registers again."),
                gettext("If the configuration is wrong, correct it and use Resume instead."),
            ],
            button=gettext("Retire them and resume"),
            do=lambda: runs.resume(run, retire_anyway=True),
            done=gettext("Resumed: refused tokens retire their devices."),
            danger=True,
        )

    @action(description=_("Cancel"), permissions=["operate"])
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=gettext("Cancel the rest of “%(run)s” for good?") % {"run": run},
            facts=[
                _waiting(run),
                gettext("What was sent stays where it is: to take it back too, recall the run."),
                gettext("It cannot be undone."),
            ],
            button=gettext("Cancel the run"),
            do=lambda: runs.cancel(run, reason=remarks.CANCELLED_BY % {"user": request.user}),
            done=gettext("Cancelled: what waited is not sent."),
            danger=True,
            words=_words(run),
        )

    @action(description=_("Recall"), permissions=["operate"])
    def recall(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        people = runs.progress(run).logged
        disappears = ngettext(
            "It disappears from the log of one person, and what waits is not sent.",
            "It disappears from the log of %(people)s people, and what waits is not sent.",
            people,
        )
        return self._asked(
            request,
            run,
            question=gettext("Take back what “%(run)s” said?") % {"run": run},
            facts=[
                disappears % {"people": number(people)},
                gettext("Connected screens are told at once. What a phone already shows may stay there."),
                gettext("It cannot be undone."),
            ],
            button=gettext("Recall the run"),
            do=lambda: runs.recall(run),
            done=gettext("Recalled: connected screens were told, and what waited is not sent."),
            danger=True,
            words=_words(run),
        )

    def _asked(self, request: HttpRequest, run: Run, *, do: Any, done: str, **asked: Any) -> HttpResponse:
        def act() -> str:
            try:
                do()
            except runs.StateError as error:
                raise RefusedError(str(error)) from None
            return done

        return confirmed(self, request, run, do=act, **asked)


TYPED_ABOVE = 10_000
"""Recipients above which the run's title is typed before it is cancelled or recalled."""


def _words(run: Run) -> str:
    """Return what must be typed to stop a run for good; nothing for a small one."""
    so_far = runs.progress(run)
    return str(run) if runs.recipients(run, so_far, runs.pace(run, so_far)) > TYPED_ABOVE else ""


def _waiting(run: Run) -> str:
    count = runs.progress(run).waiting
    said = ngettext("One message waits to be sent.", "%(count)s messages wait to be sent.", count)
    return said % {"count": number(count)}
