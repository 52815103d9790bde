"""The room of who hears what, and when."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """Events, rules, campaigns and their schedule."""

    name = "campaigns"
    verbose_name = "Messaging"
