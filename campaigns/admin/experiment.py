"""The page of a campaign's goal and experiment: variants, control group, and the winner."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from campaigns import editing, experimenting
from campaigns.admin.composer_fields import LocalesField
from campaigns.composing import LOCALE_TEXTS
from campaigns.models import Campaign, Experiment, Variant
from delivery import statistics
from delivery.experiments import CONTROL
from devices.confirmation import RefusedError, confirmed
from devices.language import moment
from devices.models import Power
from devices.scoped_admin import Empty, ScopedAdmin
from devices.scoped_form import ScopedForm
from devices.scoped_inlines import ScopedStackedInline
from devices.words import number, percent


def experiment_page(campaign: Campaign, experiment: Experiment | None) -> str:
    """Return the address of the page of a campaign's experiment, or of a new one."""
    if experiment is None:
        return f"{reverse('admin:campaigns_experiment_add')}?campaign={campaign.pk}"
    return reverse("admin:campaigns_experiment_change", args=[experiment.pk])


class ExperimentForm(ScopedForm):
    """A goal and what is compared."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        if cleaned.get("metric") == Experiment.Metric.CONVERTED and not cleaned.get("goal"):
            self.add_error("goal", gettext("To compare by conversions, choose the event that is the goal."))
        return cleaned


class VariantForm(ScopedForm):
    """One of the texts that are tried."""

    locales = LocalesField(
        label=_("Other languages"),
        help_text=_("What is left empty is read as the campaign has it in that language."),
    )

    class Meta:
        model = Variant
        fields: list[str] = []
        widgets = {"body": UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        if "locales" in self.fields:  # a viewer's page shows it as text
            cast(LocalesField, self.fields["locales"]).before = self.instance.locales or {}

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        if key.lower() == CONTROL:
            raise ValidationError(
                gettext("“control” is the group that is told nothing; choose another name.")
            )
        return key


class VariantFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """The variants together."""

    def clean(self) -> None:
        super().clean()
        kept = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        for form in kept:
            said, locale = form.cleaned_data, self.instance.campaign.application.locale
            texts = {name: said.get(name, "") for name in LOCALE_TEXTS}
            for field, problem in experimenting.problems_of(texts, said.get("locales") or {}, locale):
                form.add_error(field, problem)
        if len(kept) > experimenting.MOST_VARIANTS:
            raise ValidationError(
                gettext("At most %(most)s variants.") % {"most": experimenting.MOST_VARIANTS}
            )
        if not (kept or self.instance.control or self.instance.goal_id):
            raise ValidationError(
                gettext("It compares nothing yet. Add two variants, a control group or a goal.")
            )
        if len(kept) == 1 and not self.instance.control:
            raise ValidationError(
                gettext("One variant alone is compared with nothing: add another, or a control group.")
            )


class VariantInline(ScopedStackedInline):
    """The variants; without any, the campaign's text is compared with the control group."""

    model = Variant
    form = VariantForm
    formset = VariantFormSet
    fields = [("key", "weight"), *LOCALE_TEXTS, "locales"]


@admin.register(Experiment)
class ExperimentAdmin(ScopedAdmin):
    """Experiments: one a campaign."""

    empty = Empty(
        _(
            "An experiment tries variants of a campaign on parts of its audience, or keeps a control group,"
            " and shows which did better. It takes a campaign, then the experiment itself."
        ),
        {"campaigns.campaign": _("Write a campaign"), "campaigns.experiment": _("Add an experiment")},
    )

    class Media:
        """The rows of languages."""

        css = {"all": ["campaigns/composer.css"]}
        js = ["campaigns/rows.js"]

    form = ExperimentForm
    inlines = [VariantInline]
    list_display = ["campaign", "application", "goal", "metric", "control", "automatic", "winner"]
    list_filter = ["application", "metric", "automatic"]
    list_select_related = ["application", "campaign", "goal"]
    search_fields = ["campaign__name"]
    readonly_fields = ["campaign_page", "winner", "decided_at", "why", "reports"]
    actions_detail = ["choose_winner"]
    fieldsets = [
        (None, {"fields": ["application", "campaign"]}),
        (_("Goal"), {"fields": [("goal", "goal_hours")]}),
        (_("Compared"), {"fields": [("metric", "control"), ("automatic", "decide_hours")]}),
        (_("Winner"), {"fields": [("winner", "decided_at"), "why", "reports"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if obj is None:
            return found[:-1]
        (name, options), *rest = found
        return [(name, {**options, "fields": [*options["fields"], "campaign_page"]}), *rest]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_readonly_fields(request, obj)
        return found if obj is None else (*found, "campaign")

    @display(description=_("because"))
    def why(self, experiment: Experiment) -> str:
        return experimenting.because(experiment) or "—"

    @display(description=_("its page"))
    def campaign_page(self, experiment: Experiment) -> str:
        address = reverse("admin:campaigns_campaign_change", args=[experiment.campaign_id])
        return format_html('<a class="underline" href="{}">{}</a>', address, experiment.campaign)

    @display(description=_("reports"))
    def reports(self, experiment: Experiment) -> str:
        links = (
            (reverse("admin:delivery_run_report", args=[run.pk]), moment(run.created_at))
            for run in experimenting.runs_of(experiment)[:10]
        )
        found = format_html_join("", '<div><a class="text-link" href="{}">{}</a></div>', links)
        return found or gettext("None yet: it takes effect with the campaign's next launch.")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        # whoever writes its variants is an author of the campaign too, and does not approve it
        campaign = form.instance.campaign
        editing.note(campaign, f"user:{request.user.get_username()}")
        campaign.save(update_fields=["revision", "edited_by", "authors", "settled"])

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Power.LAUNCH, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return bool(obj.variants.exists())

    @action(description=_("Choose the winner"), permissions=["approve"], icon="emoji_events")
    def choose_winner(self, request: HttpRequest, object_id: str) -> HttpResponse:
        experiment: Experiment = self.get_object(request, object_id)
        arms = experimenting.pooled(experiment, experimenting.runs_of(experiment))
        keys = [variant.key for variant in experiment.variants.all()]
        form = WinnerForm(request.POST or None, keys=keys)

        def do() -> str:
            if not form.is_valid():
                raise RefusedError(gettext("Choose one of the variants."))
            experimenting.choose(experiment, form.cleaned_data["winner"], by=request.user)
            if not experiment.winner:
                return gettext("The variants are compared again from the next launch on.")
            return gettext("From the next launch on everybody but the control group is told %(key)s.") % {
                "key": experiment.winner
            }

        return confirmed(
            self,
            request,
            experiment,
            question=gettext("Which variant is told from the next launch on?"),
            facts=[
                *(
                    gettext("%(key)s: %(did)s of %(people)s (%(share)s)")
                    % {
                        "key": arm.key,
                        "did": number(arm.did),
                        "people": number(arm.people),
                        "share": percent(arm.share, 1),
                    }
                    for arm in arms
                ),
                statistics.decide(arms).because,
                *(
                    [gettext("Its canary waits: when it goes on, the others are told the winner too.")]
                    if experiment.campaign.versions.filter(canary_state="waiting").exists()
                    else []
                ),
            ],
            button=gettext("Choose it"),
            do=do,
            form=form,
        )


class WinnerForm(forms.Form):
    """One of the variants, or none."""

    winner = forms.ChoiceField(label=_("Winner"), required=False, widget=forms.RadioSelect)

    def __init__(self, *given: Any, keys: list[str], **named: Any) -> None:
        super().__init__(*given, **named)
        field: Any = self.fields["winner"]
        field.choices = [*((key, key) for key in keys), ("", _("None: compare them again"))]
