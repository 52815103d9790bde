"""What members of the staff chose for themselves."""

from django.conf import settings
from django.db import models


class StaffSettings(models.Model):
    """How a member of the staff wants the admin, in whichever application they work."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="staff_settings"
    )
    language = models.CharField(max_length=10, blank=True)

    def __str__(self) -> str:
        return f"{self.user}: {self.language}"
