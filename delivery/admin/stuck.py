"""The pages of work that was given up after too many tries, to see what is stuck and why, and to end that."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from delivery import dbclock, deadletters
from delivery.models import Page, Parcel, WorkState
from devices.confirmation import RefusedError, confirmed
from devices.models import Power
from devices.scoped_admin import Empty, ReadOnlyAdmin, instant
from devices.words import number


class StuckAdmin(ReadOnlyAdmin):
    """What pages and parcels have in common once they are set aside."""

    list_filter = ["application", "lane"]
    list_select_related = ["application", "run"]
    list_display_links = ["__str__"]
    actions = ["requeue_chosen"]
    actions_detail = ["requeue", "give_up"]
    ends: Any
    """What giving up one of them does, in a sentence."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(state=WorkState.DEAD)

    @display(description=_("What went wrong"))
    def last_words(self, work: Any) -> str:
        """Return the last line of the error: the rest stands on the object's own page."""
        lines = work.error.strip().splitlines()
        return lines[-1][:160] if lines else "—"

    @display(description=_("Made"), ordering="created_at")
    def made_at(self, work: Any) -> str:
        return instant(work.created_at)

    @display(description=_("Age"), ordering="created_at")
    def age(self, work: Any) -> str:
        minutes = int(max(0.0, dbclock.now() - work.created_at) // 60)
        if minutes < 60:
            return gettext("%(minutes)s min") % {"minutes": minutes}
        return gettext("%(hours)s h %(minutes)s min") % {"hours": minutes // 60, "minutes": minutes % 60}

    # -- what may be done

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.OPERATE, obj)

    @admin.action(description=_("Try the chosen again"), permissions=["operate"])
    def requeue_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        done, chosen = 0, list(queryset.select_related("run"))
        for work in chosen:
            if not self.has_operate_permission(request, work):
                continue
            try:
                deadletters.requeue(work, by=str(request.user))
            except deadletters.NotDeadError:
                continue
            done += 1
        messages.success(
            request,
            gettext("%(done)s of %(count)s are tried again.")
            % {"done": number(done), "count": number(len(chosen))},
        )

    @action(description=_("Try again"), permissions=["operate"], icon="replay", variant=ActionVariant.PRIMARY)
    def requeue(self, request: HttpRequest, object_id: str) -> HttpResponse:
        work = self.get_object(request, object_id)

        def do() -> str:
            deadletters.requeue(work, by=str(request.user))
            return gettext("%(work)s is tried again.") % {"work": work}

        return self._asked(
            request,
            work,
            do,
            question=gettext("Try %(work)s of “%(run)s” again?") % {"work": work, "run": work.run},
            facts=[
                gettext("It failed %(tries)s times: %(last_words)s")
                % {"tries": work.tries, "last_words": self.last_words(work)}
            ],
            button=gettext("Try again"),
        )

    @action(description=_("Give up"), permissions=["operate"], icon="delete", variant=ActionVariant.DANGER)
    def give_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        work = self.get_object(request, object_id)

        def do() -> str:
            ended = deadletters.give_up(work, by=str(request.user))
            said = (
                ngettext(
                    "%(work)s is given up: one message.", "%(work)s is given up: %(ended)s messages.", ended
                )
                if isinstance(work, Parcel)
                else ngettext(
                    "%(work)s is given up: one person.", "%(work)s is given up: %(ended)s people.", ended
                )
            )
            return said % {"work": work, "ended": number(ended)}

        return self._asked(
            request,
            work,
            do,
            question=gettext("Give %(work)s of “%(run)s” up for good?") % {"work": work, "run": work.run},
            facts=[self.ends, gettext("It cannot be undone.")],
            button=gettext("Give it up"),
            danger=True,
        )

    def _asked(self, request: HttpRequest, work: Any, do: Any, **asked: Any) -> HttpResponse:
        def act() -> str:
            try:
                done: str = do()
            except (deadletters.NotDeadError, deadletters.CannotGiveUpError) as error:
                raise RefusedError(str(error)) from None
            return done

        answer = confirmed(self, request, work, do=act, **asked)
        if isinstance(answer, HttpResponseRedirect):
            # what was requeued or given up has no page here any more
            return HttpResponseRedirect(reverse(f"admin:delivery_{self.opts.model_name}_changelist"))
        return answer


@admin.register(Page)
class PageAdmin(StuckAdmin):
    """Pages that could not be planned."""

    empty = Empty(
        _(
            "No page is stuck, so there is nothing to do. People of an audience who could not be worked on"
            " after too many attempts appear here, to be tried again or given up."
        ),
    )
    ends = _("Its people are stopped as “given up” and are not told; the rest of the audience goes on.")
    list_display = ["__str__", "application", "run", "lane", "kind", "tries", "last_words", "age"]
    fields = ["application", "run", ("lane", "kind"), "error", ("tries", "fence", "worker"), "made_at"]
    readonly_fields = ["made_at"]


@admin.register(Parcel)
class ParcelAdmin(StuckAdmin):
    """Parcels that could not be sent."""

    empty = Empty(
        _(
            "No parcel is stuck, so there is nothing to do. Messages that could not be handed over after too"
            " many attempts appear here, to be tried again or given up."
        ),
    )
    ends = _("Its messages fail as “given up”; their entries stay in the log.")
    list_display = ["__str__", "application", "run", "lane", "provider", "size", "tries", "last_words", "age"]
    list_filter = ["application", "provider", "lane"]
    fields = [
        "application",
        "run",
        ("lane", "provider"),
        ("size", "attempt"),
        "error",
        ("tries", "fence", "worker"),
        "made_at",
    ]
    readonly_fields = ["made_at"]
