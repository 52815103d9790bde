"""Where rows live: the log's tables in the log's database, all others in the main one."""

from typing import Any

from django.conf import settings

LOG_MODELS = frozenset({"entry", "outcome", "mark", "receipt"})


class LogRouter:
    """Send the models of `delivery.log` to `settings.LOG_DATABASE`."""

    def _alias(self, model: Any) -> str:
        in_log = model._meta.app_label == "delivery" and model._meta.model_name in LOG_MODELS
        return settings.LOG_DATABASE if in_log else "default"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self._alias(model)

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return self._alias(model)

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        in_log = app_label == "delivery" and model_name in LOG_MODELS
        return db == (settings.LOG_DATABASE if in_log else "default")
