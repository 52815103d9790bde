"""The composer: what a campaign says, to whom and when; and the buttons that bring it to people."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from campaigns import editing, launching, preflight
from campaigns.admin import composer, preflight_page
from campaigns.admin.calendar_page import calendar_view
from campaigns.admin.campaign_form import CampaignForm
from campaigns.admin.composer import public_url
from campaigns.admin.experiment import experiment_page
from campaigns.admin.preview import preview_view
from campaigns.admin.versions import VersionInline, is_edited, runs_of
from campaigns.admin.why import why_view
from campaigns.models import Campaign, Experiment
from delivery.models import Run
from devices import staff
from devices.admin import second_factor
from devices.confirmation import RefusedError, confirmed
from devices.language import moment
from devices.models import Power
from devices.scoped_admin import Empty, ScopedAdmin
from devices.words import number

ON_PREFLIGHT = ("launch", "approve", "test", "go_on", "stop_canary")
"""What is done from the page before the launch alone."""
STATE_LABELS = {
    Campaign.State.DRAFT: "default",
    Campaign.State.IN_REVIEW: "info",
    Campaign.State.APPROVED: "primary",
    Campaign.State.LIVE: "success",
    Campaign.State.ENDED: "default",
    Campaign.State.ARCHIVED: "default",
}


@admin.register(Campaign)
class CampaignAdmin(ScopedAdmin):
    """Campaigns, from draft to launch."""

    empty = Empty(
        _(
            "A campaign says what to tell, to whom and when. Write the first one and test it on your own"
            " devices: nobody else hears of it before it is launched."
        ),
        {"campaigns.campaign": _("Write a campaign")},
    )
    form = CampaignForm
    list_display = ["name", "application", "state_shown", "title", "segment", "send_at", "created_at"]
    list_filter = ["application", "state", "lane", "category"]
    list_select_related = ["application", "segment"]
    search_fields = ["name", "title"]
    date_hierarchy = "created_at"
    fieldsets = composer.FIELDSETS
    change_form_template = "admin/campaigns/campaign/change_form.html"
    readonly_fields = ["state_now"]
    actions_detail = [
        "preflight",
        "unschedule",
        "submit",
        "launch",
        "approve",
        "test",
        "go_on",
        "stop_canary",
        {"title": _("More"), "items": ["withdraw", "end", "archive"]},
    ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "segment" and isinstance(field, forms.ModelChoiceField):
            field.empty_label = gettext("Everybody")
        if db_field.name == "category" and isinstance(field, forms.ModelChoiceField):
            field.empty_label = gettext("None: whoever wants notifications at all")
        if db_field.name == "event_type" and isinstance(field, forms.ModelChoiceField):
            field.empty_label = _("None: it is told by its times")
        if db_field.name == "event_unless" and isinstance(field, forms.ModelChoiceField):
            field.empty_label = _("Nothing: everybody who waits is told")
        return field

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return [VersionInline] if obj is not None and obj.versions.exists() else []

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and not self.has_change_permission(request, obj):
            fieldsets = composer.for_reading(fieldsets)
        if obj is not None:
            return [*fieldsets, (gettext("Runs"), {"fields": ["runs", "experiment_shown"]})]
        name, options = fieldsets[0]
        first = [field for field in options["fields"] if field != "state_now"]
        return [(name, {**options, "fields": first}), *fieldsets[1:]]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "runs", "experiment_shown")

    @display(description=_("State"), ordering="state", label=STATE_LABELS)
    def state_shown(self, campaign: Campaign) -> tuple[str, str]:
        return campaign.state, campaign.get_state_display()

    @display(description=_("State"))
    def state_now(self, campaign: Campaign) -> str:
        return campaign.get_state_display()

    @display(description=_("Begun"))
    def runs(self, campaign: Campaign) -> str:
        links = (
            (
                reverse("admin:delivery_run_change", args=[run.pk]),
                moment(run.created_at),
                run.get_state_display(),
            )
            for run in runs_of(campaign)[:10]
        )
        found = format_html_join("", '<div><a class="text-link" href="{}">{}</a>: {}</div>', links)
        return format_html(
            '{}<div><a class="text-link" href="{}?campaign={}">{}</a></div>',
            found or gettext("None yet: it has not been launched."),
            reverse("admin:campaigns_why"),
            campaign.pk,
            gettext("Why did somebody get it, or not?"),
        )

    @display(description=_("Goal and experiment"))
    def experiment_shown(self, campaign: Campaign) -> str:
        found = Experiment.objects.filter(campaign=campaign).first()
        address = experiment_page(campaign, found)
        if found is None:
            return format_html('<a class="nh-link" href="{}">{}</a>', address, _("Try variants, set a goal"))
        said = _("Winner: %(key)s") % {"key": found.winner} if found.winner else _("No winner yet")
        return format_html('<a class="nh-link" href="{}">{}</a>: {}', address, _("The experiment"), said)

    def get_urls(self) -> list[URLPattern]:
        def why(request: HttpRequest) -> HttpResponse:
            return why_view(self, request)

        def preview(request: HttpRequest) -> HttpResponse:
            if not staff.may(request, Power.SEE):
                raise PermissionDenied
            return preview_view(self, request)

        def planned(request: HttpRequest) -> HttpResponse:
            if not staff.may(request, Power.SEE):
                raise PermissionDenied
            return calendar_view(self, request)

        mine = [
            path("calendar/", self.admin_site.admin_view(planned), name="campaigns_calendar"),
            path("why/", self.admin_site.admin_view(why), name="campaigns_why"),
            path("preview/", self.admin_site.admin_view(preview), name="campaigns_preview"),
        ]
        return [*mine, *super().get_urls()]

    # -- the composer

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.public_url = public_url(request)
        return form

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context.update(composer.context_of(request, kwargs.get("obj")))
        return super().render_change_form(request, context, *args, **kwargs)

    # -- saving

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: bool) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        form.save_picture()
        editing.note(obj, f"user:{request.user.get_username()}")
        super().save_model(request, obj, form, change)
        if obj.state in launching.IN_FORCE and is_edited(obj):
            messages.info(
                request,
                gettext("Rules go on with the approved text until this edit is approved or launched."),
            )

    # -- the buttons

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.LAUNCH, obj)

    def has_stop_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.STOP, obj)

    def offers(self, action: str, obj: Any) -> bool:
        if action in ON_PREFLIGHT:
            return False
        if action == "preflight":
            return obj.state != Campaign.State.ARCHIVED
        if action == "unschedule":
            return bool(obj.versions.filter(launch_at__isnull=False, launched_at=None).exists())
        return obj.state in launching.MOVES[action][0]

    @action(
        description=_("Check and launch"),
        permissions=["view"],
        icon="fact_check",
        variant=ActionVariant.PRIMARY,
    )
    def preflight(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return preflight_page.show(self, request, self.get_object(request, object_id))

    @action(description=_("Send a test"), permissions=["change"], icon="build")
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign: Campaign = self.get_object(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(preflight_page.page_of(campaign))
        return preflight_page.send_test(self, request, campaign)

    @action(description=_("Go on after the canary"), permissions=["approve"], icon="play_arrow")
    def go_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign: Campaign = self.get_object(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(preflight_page.page_of(campaign))
        if step := second_factor.asked_first(request, preflight_page.page_of(campaign)):
            return step
        return preflight_page.decide_canary(self, request, campaign, go_on=True)

    @action(description=_("Stop after the canary"), permissions=["stop"], icon="stop_circle")
    def stop_canary(self, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign: Campaign = self.get_object(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(preflight_page.page_of(campaign))
        return preflight_page.decide_canary(self, request, campaign, go_on=False)

    @action(description=_("Launch"), permissions=["approve"], icon="rocket_launch")
    def launch(self, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign: Campaign = self.get_object(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(preflight_page.page_of(campaign))
        if step := second_factor.asked_first(request, preflight_page.page_of(campaign)):
            return step
        try:
            canary = preflight_page.canary_of_form(request)
        except launching.LaunchError as error:
            return preflight_page.show(self, request, campaign, canary_error=str(error))

        def done() -> str:
            people = preflight.seen(campaign, request.POST.get("seen", ""))["told"]
            # the button is there for approvers and administrators only
            begun = launching.launch(campaign, by=request.user, may_override=True, canary=canary)
            if not isinstance(begun, Run) and begun.launch_at is None:
                return _("In force: from now on whom the event “%(event)s” is about is told.") % {
                    "event": campaign.event_type
                }
            if not isinstance(begun, Run):
                return _("Planned: it starts at %(at)s.") % {"at": moment(begun.launch_at or timezone.now())}
            if canary:
                return _(
                    "Launched to %(canary)s %% of its people first. Look at how it goes, then go on or stop."
                ) % {"canary": canary}
            return _("Launched: it is on its way to %(people)s people.") % {"people": number(people)}

        return self._asked(request, campaign, done, question="", button="")

    @action(description=_("Take the launch back"), permissions=["stop"], icon="event_busy")
    def unschedule(self, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign: Campaign = self.get_object(request, object_id)

        def done() -> str:
            launching.unschedule(campaign)
            return gettext("Taken back: it does not start by itself any more.")

        return self._asked(
            request,
            campaign,
            done,
            question=gettext("Take back the planned launch of “%(campaign)s”?") % {"campaign": campaign},
            facts=[gettext("It does not start by itself then. It can be launched again.")],
            button=gettext("Take the launch back"),
        )

    @action(description=_("Approve"), permissions=["approve"], icon="check")
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign: Campaign = self.get_object(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(preflight_page.page_of(campaign))
        if step := second_factor.asked_first(request, preflight_page.page_of(campaign)):
            return step

        def done() -> str:
            numbers = preflight.seen(campaign, request.POST.get("seen", ""))
            version = launching.approve(campaign, by=request.user, may_override=True, numbers=numbers)
            if version is None:
                return str(_("Approved by you. One more person has to approve it."))
            return _("Approved: rules may send version %(number)s, and it can be launched.") % {
                "number": version.number
            }

        return self._asked(request, campaign, done, question="", button="")

    @action(description=_("Ask for approval"), permissions=["change"], icon="rate_review")
    def submit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._moved(
            request,
            object_id,
            "submit",
            question=gettext("Ask for approval?"),
            facts=[gettext("Approvers of the application see it on their dashboard.")],
            button=gettext("Ask for approval"),
            done=gettext("It waits for approval."),
        )

    @action(description=_("Back to draft"), permissions=["change"], icon="undo")
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._moved(
            request,
            object_id,
            "withdraw",
            question=gettext("Make it a draft again?"),
            facts=[gettext("Rules do not send it then, until it is approved again.")],
            button=gettext("Back to draft"),
            done=gettext("It is a draft again."),
        )

    @action(description=_("End"), permissions=["approve"], icon="stop_circle", variant=ActionVariant.DANGER)
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._moved(
            request,
            object_id,
            "end",
            question=gettext("End this campaign?"),
            facts=[
                gettext("Rules do not send it any more, and a launch that is planned does not start."),
                gettext("A run that is on its way goes on: pause, cancel or recall it on its own page."),
            ],
            button=gettext("End the campaign"),
            done=gettext("Ended."),
            danger=True,
        )

    @action(description=_("Archive"), permissions=["change"], icon="archive")
    def archive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._moved(
            request,
            object_id,
            "archive",
            question=gettext("Archive this campaign?"),
            facts=[gettext("It cannot be launched any more, and rules do not send it. Its runs stay.")],
            button=gettext("Archive"),
            done=gettext("Archived."),
        )

    def _moved(
        self, request: HttpRequest, object_id: str, move: str, *, done: str, **asked: Any
    ) -> HttpResponse:
        campaign: Campaign = self.get_object(request, object_id)

        def act() -> str:
            launching.move(campaign, move)
            return done

        return self._asked(request, campaign, act, **asked)

    def _asked(
        self, request: HttpRequest, campaign: Campaign, do: Callable[[], str], **asked: Any
    ) -> HttpResponse:
        def act() -> str:
            try:
                return do()
            except launching.LaunchError as error:
                raise RefusedError(str(error)) from None

        return confirmed(self, request, campaign, do=act, **asked)


for _name, _shown in composer.readers().items():
    setattr(CampaignAdmin, _name, _shown)
