"""The room of who hears what, and when."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CampaignsConfig(AppConfig):
    """Events, rules, campaigns and their schedule."""

    name = "campaigns"
    verbose_name = _("Messaging")
