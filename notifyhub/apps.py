"""The room of how the parts are wired."""

from django.apps import AppConfig


class NotifyhubConfig(AppConfig):
    """Commands and checks of the whole."""

    name = "notifyhub"
    verbose_name = "notifyhub"

    def ready(self) -> None:
        from notifyhub import celery, checks  # noqa: F401  (the app that bells ring through; the system checks)
