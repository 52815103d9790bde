"""`/campaigns/{id}/experiment`: a campaign's goal, the variants and control group it compares, and the winner."""

from typing import Any

from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import editing, experimenting, launching
from campaigns.models import Campaign, EventType, Experiment, Variant
from delivery.experiments import CONTROL
from devices import audit
from devices.isolation import Scoped, ScopedRelatedField
from devices.strictness import StrictSerializer, bounded


class VariantSerializer(StrictSerializer):
    """One of the texts that are tried; what is left out is as the campaign has it."""

    key = serializers.RegexField(r"^[-a-zA-Z0-9_]{1,16}$", help_text="Its name, as A.")
    weight = serializers.IntegerField(min_value=1, max_value=100, default=1)
    title = serializers.CharField(max_length=200, allow_blank=True, default="")
    subtitle = serializers.CharField(max_length=200, allow_blank=True, default="")
    body = serializers.CharField(max_length=2000, allow_blank=True, default="")
    image = serializers.CharField(max_length=500, allow_blank=True, default="")
    link = serializers.CharField(max_length=500, allow_blank=True, default="")
    locales = serializers.DictField(child=serializers.DictField(), default=dict)

    def validate_key(self, value: str) -> str:
        if value.lower() == CONTROL:
            raise serializers.ValidationError("“control” is the group that is told nothing.")
        return value

    def validate_locales(self, value: Any) -> Any:
        bounded(value)
        return value


class ExperimentSerializer(StrictSerializer):
    """What a campaign is measured by; it takes effect at the next launch, and running runs keep theirs."""

    goal = ScopedRelatedField(
        slug_field="name",
        queryset=EventType.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="The event type that the campaign is to bring about, by name.",
    )
    goal_hours = serializers.IntegerField(min_value=1, max_value=720, default=24)
    control = serializers.IntegerField(
        min_value=0, max_value=50, default=0, help_text="Per cent of the audience that are told nothing."
    )
    metric = serializers.ChoiceField(choices=Experiment.Metric.choices, default="opened")
    automatic = serializers.BooleanField(
        default=False, help_text="Later launches tell the winner alone, when the evidence is there."
    )
    decide_hours = serializers.IntegerField(min_value=1, max_value=720, default=24)
    winner = serializers.CharField(
        max_length=16, allow_blank=True, default="", help_text="A variant's key; empty: all are tried."
    )
    variants = VariantSerializer(
        many=True,
        default=list,
        max_length=experimenting.MOST_VARIANTS,  # type: ignore[call-arg]  # with `many` it is the list's
    )
    because = serializers.CharField(read_only=True)
    decided_at = serializers.DateTimeField(read_only=True)

    def validate(self, attrs: Any) -> Any:
        keys = [variant["key"] for variant in attrs["variants"]]
        if len(set(keys)) != len(keys):
            raise serializers.ValidationError({"variants": ["Two variants have the same key."]})
        if len(keys) == 1 and not attrs["control"]:
            raise serializers.ValidationError(
                {"variants": ["One variant alone is compared with nothing: add another, or a control group."]}
            )
        if attrs["winner"] and attrs["winner"] not in keys:
            raise serializers.ValidationError({"winner": ["There is no variant of this key."]})
        if attrs["metric"] == "converted" and attrs["goal"] is None:
            raise serializers.ValidationError({"goal": ["To compare by conversions, name the event type."]})
        return attrs


class ExperimentView(Scoped):
    """The one experiment of a campaign."""

    required_scope = {"show": "campaigns:read", "*": "campaigns:write"}

    @property
    def action(self) -> str:
        """What is done, as `required_scope` names it."""
        return "show" if self.request.method in ("GET", "HEAD") else "change"

    def _campaign(self, uid: Any) -> Campaign:
        rows = Campaign.objects.filter(application=self.application).select_related("application", "category")
        return get_object_or_404(rows, uid=uid)

    def _shown(self, campaign: Campaign) -> Response:
        experiment = get_object_or_404(
            Experiment.objects.select_related("goal").prefetch_related("variants"), campaign=campaign
        )
        return Response(ExperimentSerializer(experiment, context={"view": self}).data)

    @extend_schema(operation_id="campaigns_experiment_retrieve", responses=ExperimentSerializer)
    def get(self, request: Request, uid: Any) -> Response:
        """Show what the campaign is measured by."""
        return self._shown(self._campaign(uid))

    @extend_schema(
        operation_id="campaigns_experiment_set", request=ExperimentSerializer, responses=ExperimentSerializer
    )
    def put(self, request: Request, uid: Any) -> Response:
        """Set what the campaign is measured by, all of it; texts that do not render are refused."""
        campaign = self._campaign(uid)
        asked = ExperimentSerializer(data=request.data, context={"view": self})
        asked.is_valid(raise_exception=True)
        values = dict(asked.validated_data)
        variants, winner = values.pop("variants"), values.pop("winner")
        with transaction.atomic():
            before = self._said(campaign)
            experiment, _ = Experiment.objects.update_or_create(
                campaign=campaign, defaults={"application": self.application, **values}
            )
            experiment.variants.all().delete()
            Variant.objects.bulk_create([Variant(experiment=experiment, **one) for one in variants])
            if winner != experiment.winner:
                experimenting.choose(experiment, winner, by=f"key {self.key.prefix}")
            self._check(campaign)
            if self._said(campaign) != before:
                self._edited(campaign)
        self.note(audit.CHANGED, experiment, says=", ".join(one["key"] for one in variants))
        return self._shown(campaign)

    def _said(self, campaign: Campaign) -> dict[str, Any]:
        """Return what somebody wrote of a campaign's experiment; the winner is a decision, and not among it."""
        experiment = experimenting.of(campaign)
        if experiment is None:
            return {}
        said = ExperimentSerializer(experiment, context={"view": self}).data
        return {
            name: value for name, value in said.items() if name not in ("winner", "because", "decided_at")
        }

    def _edited(self, campaign: Campaign) -> None:
        """Note the key as an author of what the campaign says, who does not approve it."""
        editing.note(campaign, f"key:{self.key.prefix}")
        campaign.save(update_fields=["revision", "edited_by", "authors", "settled"])

    def _check(self, campaign: Campaign) -> None:
        said = campaign.title or campaign.body or campaign.locales
        try:
            (launching.checked_snapshot if said else launching.snapshot_of)(campaign)
        except launching.LaunchError as error:
            if error.field == "experiment":
                raise serializers.ValidationError({"variants": [error.reason]}) from None

    @extend_schema(operation_id="campaigns_experiment_delete", request=None, responses={204: None})
    def delete(self, request: Request, uid: Any) -> Response:
        """Measure the campaign by nothing."""
        campaign = self._campaign(uid)
        experiment = get_object_or_404(Experiment, campaign=campaign)
        gone = audit.gone(audit.service(request), experiment)
        with transaction.atomic():
            experiment.delete()
            self._edited(campaign)
        audit.write(gone)
        return Response(status=204)
