"""The environment as the settings read it: a number that is none is refused by its name."""

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured


class Environment(environ.FileAwareEnv):  # type: ignore[misc]  # django-environ has no types
    """Reads variables, or the files that `<NAME>_FILE` names. Raises `ImproperlyConfigured` for no number."""

    def get_value(self, var: Any, cast: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, cast, *args, **kwargs)
        except ValueError as error:
            wanted = {int: "a whole number", float: "a number"}.get(cast)
            if wanted is None:
                raise
            sentence = (
                f"{var} must be {wanted}, not {super().get_value(var)!r}; see docs/reference/settings.md."
            )
            raise ImproperlyConfigured(sentence) from error
