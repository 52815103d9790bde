"""The room of how a notification gets there."""

from django.apps import AppConfig


class DeliveryConfig(AppConfig):
    """Runs, pages, parcels, the log and the senders."""

    name = "delivery"
    verbose_name = "Delivery"
