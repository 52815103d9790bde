"""CSV files on their way into an application: cut into parts, each worked in one transaction."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from devices.models.application import Application
from devices.models.segment import Segment

STOPPED = gettext_noop("Stopped by a person.")


class Import(models.Model):
    """A CSV file of subscribers, or of the list of a static segment."""

    class Kind(models.TextChoices):
        SUBSCRIBERS = "subscribers", _("Subscribers: make and change them")
        SEGMENT = "segment", _("A fixed list: put subscribers that exist into a segment")

    class State(models.TextChoices):
        READING = "reading", _("Being uploaded")
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="imports"
    )
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=11, choices=Kind.choices, default=Kind.SUBSCRIBERS)
    segment = models.ForeignKey(
        Segment,
        verbose_name=_("segment"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="imports",
    )
    file_name = models.CharField(_("file"), max_length=200)
    language = models.CharField(
        max_length=10,
        default=settings.LANGUAGE_CODE,
        help_text="Of whoever uploaded it: why rows are refused is said in it.",
    )
    header = models.JSONField(default=list)
    state = models.CharField(_("state"), max_length=7, choices=State.choices, default=State.READING)
    rows = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    made = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    lease_until = models.FloatField(default=0)
    claim = models.CharField(max_length=32, blank=True)
    error = models.CharField(max_length=300, blank=True, help_text="In English; people read `because`.")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="imports",
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        indexes = [models.Index(fields=["state", "lease_until"], name="imports_to_do")]

    def __str__(self) -> str:
        return self.file_name

    @property
    def because(self) -> str:
        """Why it failed, in the language that is active."""
        return gettext(self.error) if self.error == STOPPED else self.error

    @property
    def percent(self) -> int:
        return self.done * 100 // self.rows if self.rows else 0


class ImportPart(models.Model):
    """Some rows of a file: worked in one transaction, then emptied but for those that were refused."""

    source = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    rows = models.JSONField(default=list)
    refused = models.JSONField(default=list)
    finished = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "number"], name="one_part_per_number")]

    def __str__(self) -> str:
        return f"{self.source} {self.number}"
