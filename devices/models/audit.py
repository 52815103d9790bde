"""The audit log: who did what, when and from where; written once, never changed."""

from typing import Any, NoReturn

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.models.application import Application


class AppendOnlyError(Exception):
    """Somebody tried to change or delete what was written."""


class _AppendOnly(models.QuerySet["AuditEntry"]):
    def update(self, **values: Any) -> NoReturn:
        raise AppendOnlyError("What the audit log holds is not changed.")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("What the audit log holds is not deleted.")


class AuditEntry(models.Model):
    """Something that a person, a service, the command line or the clock did.

    `changes` says of each field what it was and what it is; of secrets only that they changed. The database refuses
    to update and to delete rows, too.
    """

    class Origin(models.TextChoices):
        ADMIN = "admin", _("Admin")
        API = "api", _("API")
        COMMAND = "command", _("Command line")
        CLOCK = "clock", _("Clock")

    at = models.DateTimeField(_("at"), default=timezone.now)
    application = models.ForeignKey(
        Application,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="+",
        verbose_name=_("application"),
    )
    actor = models.CharField(
        _("who"), max_length=160, help_text=_("user:name, key:its beginning, or the system's user.")
    )
    origin = models.CharField(_("from"), max_length=8, choices=Origin.choices)
    address = models.CharField(_("address"), max_length=45, blank=True)
    action = models.CharField(_("action"), max_length=64)
    model = models.CharField(max_length=64)
    object_key = models.CharField(max_length=64)
    object_name = models.CharField(_("what"), max_length=200)
    says = models.TextField(_("in words"), blank=True)
    changes = models.JSONField(_("changes"), default=dict)

    objects = _AppendOnly.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        indexes = [
            models.Index(fields=["application", "-id"], name="audit_of_application"),
            models.Index(fields=["model", "object_key", "-id"], name="audit_of_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.object_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("What the audit log holds is not changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("What the audit log holds is not deleted.")
