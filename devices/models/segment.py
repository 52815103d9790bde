"""Saved predicates over subscribers and their devices, and lists of subscribers."""

import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices import facts, nesting, segments
from devices.models.application import Application
from devices.models.people import Subscriber
from devices.predicates import BEHAVIOUR


def validate_predicate(predicate: Any) -> None:
    """Refuse a predicate that `devices.segments` cannot read, with the place that is wrong."""
    try:
        segments.parse(predicate)
    except segments.PredicateError as error:
        raise ValidationError(str(error)) from None


class Segment(models.Model):
    """A saved predicate over subscribers and devices, or (static) a list of subscribers."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="segments"
    )
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100)
    is_static = models.BooleanField(
        _("a fixed list"),
        default=False,
        editable=False,
        help_text=_("Whether who is in it stands in a list, filled by importing a CSV file."),
    )
    predicate = models.JSONField(
        _("who is in it"),
        validators=[validate_predicate],
        help_text=_(
            'As {"all": [{"attribute": "plan", "is": "pro"}, {"locale": "de"}, {"not": {"platform": "tv"}}]}.'
        ),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("segment")
        verbose_name_plural = _("segments")
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="one_segment_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def whole(self) -> Any:
        """The predicate as a run takes it with it: the segments inside it put in their places.

        Raises `PredicateError` where `devices.nesting.whole` does.
        """
        return (
            self.predicate
            if self.is_static
            else nesting.expand(self.application_id, self.predicate, own=self)
        )

    def clean(self) -> None:
        if self.application_id is None or self.predicate is None or self.is_static:
            return
        try:
            nesting.expand(self.application_id, self.predicate, own=self)
        except segments.PredicateError as error:
            raise ValidationError({"predicate": str(error)}) from None

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and keep what the predicate needs: which segments it uses, which facts are counted.

        Raises a validation error when the segment would stand in itself; two who save at once wait for each other.
        """
        if self.is_static:
            self.predicate = {"segment": str(self.uid)}
        with transaction.atomic():
            Application.objects.select_for_update().filter(pk=self.application_id).first()
            self.clean()
            super().save(*args, **kwargs)
            self._note_uses()
            want_facts(self.application_id)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            done = super().delete(*args, **kwargs)
            want_facts(self.application_id)
        return done

    def _note_uses(self) -> None:
        named = [] if self.is_static else nesting.named(self.predicate)
        inner = Segment.objects.filter(application=self.application_id, uid__in=named)
        standing = set(self.uses.values_list("used", flat=True))
        wanted = set(inner.values_list("pk", flat=True))
        if standing != wanted:
            self.uses.exclude(used__in=wanted).delete()
            SegmentUse.objects.bulk_create(
                [SegmentUse(segment=self, used_id=key) for key in sorted(wanted - standing)]
            )


class SegmentUse(models.Model):
    """That a segment names another, which cannot be deleted then."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="uses")
    used = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="used_by")

    class Meta:
        verbose_name = _("segment")
        constraints = [models.UniqueConstraint(fields=["segment", "used"], name="one_use_per_segment")]

    def __str__(self) -> str:
        return self.segment.name


class SegmentMember(models.Model):
    """That a subscriber is in a static segment."""

    pk = models.CompositePrimaryKey("segment_id", "subscriber_id")
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="members", db_index=False)
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="lists")

    def __str__(self) -> str:
        return str(self.subscriber_id)


def want_facts(application_id: int) -> None:
    """Have what the segments of an application ask for be counted, and nothing else."""
    kinds = set()
    for predicate in Segment.objects.filter(application=application_id).values_list("predicate", flat=True):
        try:
            node = segments.parse(predicate, whole=True)
        except segments.PredicateError:
            continue
        kinds |= {one.kind for one in segments.conditions(node) if one.field in BEHAVIOUR}
    facts.want(application_id, kinds)
