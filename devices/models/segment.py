"""Saved predicates over subscribers and their devices."""

import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from devices import segments
from devices.models.application import Application


def validate_predicate(predicate: Any) -> None:
    """Refuse a predicate that `devices.segments` cannot read, with the place that is wrong."""
    try:
        segments.parse(predicate)
    except segments.PredicateError as error:
        raise ValidationError(str(error)) from None


class Segment(models.Model):
    """A saved predicate over subscribers and devices."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="segments")
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100)
    predicate = models.JSONField(
        validators=[validate_predicate],
        help_text='As {"all": [{"attribute": "plan", "is": "pro"}, {"locale": "de"}, {"not": {"platform": "tv"}}]}.',
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="one_segment_per_name")]

    def __str__(self) -> str:
        return self.name
