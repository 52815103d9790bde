"""The room of how a notification gets there."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeliveryConfig(AppConfig):
    """Runs, pages, parcels, the log and the senders."""

    name = "delivery"
    verbose_name = _("Delivery")
