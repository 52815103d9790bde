"""The room of whom we can reach."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    """Applications, keys, subscribers, devices and segments."""

    name = "devices"
    verbose_name = _("Audience")

    def ready(self) -> None:
        from devices import language, words

        words.speak(language.TONGUE)
