"""The room of whom we can reach."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Applications, keys, subscribers, devices and segments."""

    name = "devices"
    verbose_name = "Audience"
