"""The pages of stops: one button that stops an application, and the list of what is stopped."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from delivery import holds, remarks
from delivery.models import Hold, Parcel, WorkState
from devices import staff
from devices.confirmation import RefusedError, confirmed
from devices.models import Power
from devices.scoped_admin import Empty, ScopedAdmin
from devices.words import number, within


@admin.register(Hold)
class HoldAdmin(ScopedAdmin):
    """Stops: made for a lane here, for a whole application by its button, ended by resuming."""

    empty = Empty(
        _(
            "Nothing is stopped. A stop holds back all that an application sends, or one lane of it, until"
            " somebody resumes it."
        ),
        {"delivery.hold": _("Add a stop")},
    )
    changed_with = Power.HALT
    warn_unsaved_form = False
    list_display = ["lane_shown", "application", "because", "by", "at"]
    list_filter = ["application", "lane"]
    list_select_related = ["application"]
    fields = ["application", "lane", "reason"]
    readonly_fields = ["because"]
    actions_detail = ["resume"]

    @display(description=_("Stopped"), ordering="lane")
    def lane_shown(self, hold: Hold) -> str:
        return hold.get_lane_display() if hold.lane else gettext("Every lane")

    @display(description=_("reason"), ordering="reason")
    def because(self, hold: Hold) -> str:
        return hold.because or "—"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is None else ["application", "lane", "because", ("by", "at")]

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "lane":
            kwargs["choices"] = [("", gettext("Every lane")), *db_field.choices]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.HALT, obj)

    def save_model(self, request: HttpRequest, obj: Hold, form: Any, change: bool) -> None:
        made = holds.stop(obj.application, lane=obj.lane, by=str(request.user), reason=obj.reason)
        obj.pk, obj.by, obj.at = made.pk, made.by, made.at

    # -- the button

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.stop_view)
        return [path("stop/<int:application>/", view, name="delivery_hold_stop"), *super().get_urls()]

    def stop_view(self, request: HttpRequest, application: int) -> HttpResponse:
        """Ask, then stop every lane of an application."""
        whose = staff.applications(request, Power.HALT).filter(pk=application).first()
        if whose is None:
            raise Http404(gettext("There is no such application among those you may stop."))

        def do() -> str:
            holds.stop(whose, by=str(request.user), reason=remarks.BY_THE_BUTTON)
            return gettext("%(whose)s is stopped: nothing more is sent until somebody resumes it.") % {
                "whose": whose
            }

        open_parcels = Parcel.objects.filter(
            application=whose, state__in=[WorkState.WAITING, WorkState.CLAIMED]
        )
        return confirmed(
            self,
            request,
            whose,
            question=gettext("Stop everything that %(whose)s sends?") % {"whose": whose},
            facts=[
                gettext(
                    "No page is planned and no message started from then on, in every lane, critical too; "
                    "%(count)s parcels are on their way now."
                )
                % {"count": number(open_parcels.count())},
                gettext(
                    "What a provider has taken cannot be stopped. What waits is kept, and expires at its time."
                ),
                gettext("One lane alone is stopped under “Stops”, one run on its own page."),
            ],
            button=gettext("Stop everything"),
            do=do,
            danger=True,
        )

    @action(
        description=_("Resume"), permissions=["operate"], icon="play_arrow", variant=ActionVariant.PRIMARY
    )
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        hold: Hold = self.get_object(request, object_id)
        what = (
            gettext("the lane %(lane)s") % {"lane": within(hold.get_lane_display())}
            if hold.lane
            else gettext("every lane")
        )

        def do() -> str:
            if not Hold.objects.filter(pk=hold.pk).exists():
                raise RefusedError(gettext("Somebody has resumed it already."))
            holds.end(hold, by=str(request.user))
            return gettext("%(application)s goes on: %(what)s.") % {
                "application": hold.application,
                "what": what,
            }

        answer = confirmed(
            self,
            request,
            hold,
            question=gettext("Go on with %(what)s of %(application)s?")
            % {"what": what, "application": hold.application},
            facts=[gettext("What waits is sent at once, unless it is past its time.")],
            button=gettext("Resume"),
            do=do,
        )
        if isinstance(answer, HttpResponseRedirect):
            return HttpResponseRedirect(reverse("admin:delivery_hold_changelist"))
        return answer
