"""The page of a run: what it says, what it has come to so far, and the buttons that stop it."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from delivery import reasons, runs, snapshot
from delivery.models import Gate, Hold, Page, Parcel, Run, WorkState
from devices.confirmation import RefusedError, confirmed
from devices.models import Provider, Role
from devices.scoped_admin import ReadOnlyAdmin

STATE_LABELS = {
    "Planned": "info",
    "Running": "primary",
    "Paused": "warning",
    "Done": "success",
    "Cancelled": "default",
    "Failed": "danger",
}
OUTCOME_WORDS = {
    "sent": "Sent: the provider took them, or a WebSocket did",
    "stored": "Stored: they wait in the log for a WebSocket or a pull",
    "expired": "Expired: past their time",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "no_device": "No device: a person without one for this run",
}


def numbers(run: Run) -> dict[str, Any]:
    """Return what the run's page shows of its progress, as the template's context."""
    progress = runs.progress(run)
    pace = runs.pace(run, progress)
    gates = Gate.objects.filter(Gate.holding(), application_id=run.application_id)
    return {
        "run": run,
        "progress": progress,
        "stopped": sum(progress.stopped.values()),
        "stopped_by": [
            (count, reasons.stopped_sentence(reason)) for reason, count in progress.stopped.items()
        ],
        "outcomes": [(count, OUTCOME_WORDS[name]) for name, count in progress.outcomes.items()],
        "reasons": [(count, reasons.outcome_sentence(reason)) for reason, count in progress.reasons.items()],
        "settled": sum(progress.outcomes.values()),
        "providers": [
            (Provider(name).label, ", ".join(f"{count:,} {word}" for word, count in counts.items()))
            for name, counts in runs.by_provider(run).items()
        ],
        "pace": pace,
        "left": _duration(pace.seconds_left),
        "percent": pace.planned * 100,
        "holds": [hold for hold in holds_of(run) if run.state in runs.TRANSITIONS["pause"][0]],
        "pages": _by_state(Page, run),
        "parcels": _by_state(Parcel, run),
        "gates": gates if run.state in (Run.State.PLANNED, Run.State.RUNNING, Run.State.PAUSED) else [],
        "going": run.state in (Run.State.PLANNED, Run.State.RUNNING) or not progress.complete,
    }


def holds_of(run: Run) -> QuerySet[Hold]:
    """Return the stops that a run is under."""
    return Hold.objects.filter(application=run.application_id, lane__in=["", run.lane])


def _duration(seconds: float | None) -> str:
    """Return a time as people say it; empty when there is none to say."""
    if not seconds:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _by_state(model: type[Page] | type[Parcel], run: Run) -> str:
    counts = dict(model.objects.filter(run=run).values_list("state").annotate(Count("pk")).order_by("state"))
    return (
        ", ".join(f"{counts[state]:,} {state.label.lower()}" for state in WorkState if state in counts)
        or "none yet"
    )


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs: made by launches and rules, watched and stopped here."""

    list_display = ["title", "application", "kind", "lane", "state_shown", "created_at", "finished_at"]
    list_filter = ["application", "state", "lane", "kind"]
    list_select_related = ["application"]
    search_fields = ["title", "origin"]
    date_hierarchy = "created_at"
    change_form_outer_before_template = "admin/delivery/run/progress.html"
    fieldsets = [
        ("What it says", {"fields": ["says", "category"]}),
        ("Run", {"fields": ["application", ("kind", "lane"), "state", "reason"]}),
        ("When", {"fields": [("created_at", "started_at"), ("finished_at", "recalled_at"), "expires_at"]}),
        ("For developers", {"fields": ["uid", "origin"]}),
    ]
    readonly_fields = ["says", "uid"]
    actions_detail = ["pause", "resume", "retire_and_resume", "cancel", "recall"]

    @display(description="State", ordering="state", label=STATE_LABELS)
    def state_shown(self, run: Run) -> str:
        return run.get_state_display()

    @display(description="Text")
    def says(self, run: Run) -> str | SafeString:
        frozen = snapshot.from_json(run.snapshot)
        text = frozen.texts[frozen.locale]
        return " — ".join(part for part in (text.title, text.body) if part) or "—"

    # -- the numbers, renewed while the run goes on

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.numbers_view)
        return [path("<path:object_id>/numbers/", view, name="delivery_run_numbers"), *super().get_urls()]

    def numbers_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with the part of the page that changes."""
        run = self.get_object(request, object_id)
        return TemplateResponse(request, "admin/delivery/run/numbers.html", numbers(run))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        shown = numbers(self.get_object(request, object_id))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    # -- the buttons

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Role.APPROVER, obj)

    def offers(self, action: str, obj: Any) -> bool:
        if action == "recall":
            return obj.recalled_at is None
        if action == "retire_and_resume":
            return obj.state == Run.State.PAUSED and obj.brake == Run.Brake.TRIPPED
        return obj.state in runs.TRANSITIONS[action][0]

    @action(description="Pause", permissions=["operate"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=f"Pause “{run}”?",
            facts=[
                "Nothing more is sent until it is resumed.",
                "What expires meanwhile is not sent afterwards.",
            ],
            button="Pause the run",
            do=lambda: runs.pause(run),
            done="Paused: nothing more is sent until it is resumed.",
        )

    @action(description="Resume", permissions=["operate"], icon="play_arrow", variant=ActionVariant.PRIMARY)
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=f"Go on with “{run}”?",
            facts=[
                f"{runs.progress(run).waiting:,} messages wait to be sent.",
                *([f"It was paused because {run.reason}"] if run.brake == Run.Brake.TRIPPED else []),
            ],
            button="Resume the run",
            do=lambda: runs.resume(run),
            done="Resumed.",
        )

    @action(
        description="Retire the devices and resume",
        permissions=["operate"],
        icon="phonelink_erase",
        variant=ActionVariant.DANGER,
    )
    def retire_and_resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=f"Go on with “{run}”, and retire every device whose token is refused?",
            facts=[
                run.reason,
                "Retired devices get nothing more until their app registers again.",
                "If the configuration is wrong, correct it and use Resume instead.",
            ],
            button="Retire them and resume",
            do=lambda: runs.resume(run, retire_anyway=True),
            done="Resumed: refused tokens retire their devices.",
            danger=True,
        )

    @action(description="Cancel", permissions=["operate"], icon="cancel", variant=ActionVariant.DANGER)
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=f"Cancel the rest of “{run}” for good?",
            facts=[
                f"{runs.progress(run).waiting:,} messages that wait are not sent.",
                "What was sent stays where it is: to take it back too, recall the run.",
                "It cannot be undone.",
            ],
            button="Cancel the run",
            do=lambda: runs.cancel(run, reason=f"cancelled by {request.user}"),
            done="Cancelled: what waited is not sent.",
            danger=True,
        )

    @action(description="Recall", permissions=["operate"], icon="undo", variant=ActionVariant.DANGER)
    def recall(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: Run = self.get_object(request, object_id)
        return self._asked(
            request,
            run,
            question=f"Take back what “{run}” said?",
            facts=[
                f"It disappears from the log of {runs.progress(run).logged:,} people, and what waits is not sent.",
                "Connected screens are told at once. What a phone already shows may stay there.",
                "It cannot be undone.",
            ],
            button="Recall the run",
            do=lambda: runs.recall(run),
            done="Recalled.",
            danger=True,
        )

    def _asked(self, request: HttpRequest, run: Run, *, do: Any, done: str, **asked: Any) -> HttpResponse:
        def act() -> str:
            try:
                do()
            except runs.StateError as error:
                raise RefusedError(str(error)) from None
            return done

        return confirmed(self, request, run, do=act, **asked)
