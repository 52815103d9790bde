"""The environment as the settings read it: a value that cannot be used is refused by its variable's name."""

import warnings
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

DATABASES = ("django.db.backends.postgresql", "django.db.backends.sqlite3")
NO = ("false", "off", "n", "no", "0", "")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Environment(environ.FileAwareEnv):  # type: ignore[misc]  # django-environ has no types
    """Reads variables, or the files that `<NAME>_FILE` names. Raises `ImproperlyConfigured` for what it cannot use."""

    def get_value(self, var: Any, cast: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, cast, *args, **kwargs)
        except ValueError as error:
            wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(cast)
            if wanted is None:
                raise
            given = super().get_value(var)
            raise ImproperlyConfigured(_said(var, f"must be {wanted}, not {given!r}")) from error
        except OSError as error:
            sentence = _said(
                f"{var}_FILE", f"names {error.filename}, which cannot be read ({error.strerror})"
            )
            raise ImproperlyConfigured(sentence) from error

    @classmethod
    def parse_value(cls, value: Any, cast: Any) -> Any:
        """Read a text as `cast`; raises `ValueError` also for a word that is neither yes nor no."""
        if cast is bool and value.strip().lower() not in (*cls.BOOLEAN_TRUE_STRINGS, *NO):
            raise ValueError(value)
        return super().parse_value(value, cast)

    def db(self, var: str, default: str) -> Any:
        """Return a database's settings for Django. What was written is not repeated: it may hold a password."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a scheme that is not known, with what was written
            try:
                found = self.db_url(var, default)
            except ValueError:
                found = {}
        if found.get("ENGINE") not in DATABASES:
            wanted = "postgres://user:password@host:5432/name, or sqlite:////path/of/the/file"
            raise ImproperlyConfigured(_said(var, f"must be as {wanted}"))
        return found

    def port(self, var: str, default: int) -> int:
        """Return the number of a port."""
        found: int = self.int(var, default)
        if not 1 <= found <= 65_535:
            raise ImproperlyConfigured(_said(var, f"must be from 1 to 65535, not {found}"))
        return found

    def email(self, var: str) -> Any:
        """Return a mail server's settings for Django; without one mails go nowhere."""
        try:
            return self.email_url_config(self.str(var, "") or "dummymail://")
        except (ImproperlyConfigured, ValueError):
            wanted = "smtp+tls://user:password@mail.example.com:587, smtp+ssl://… or smtp://…"
            raise ImproperlyConfigured(_said(var, f"must be as {wanted}")) from None

    def numbers(self, var: str) -> dict[str, float]:
        """Return numbers by name, as of `bulk=0.5,high=0.1`."""
        text = self.str(var, "")
        try:
            pairs = [pair.split("=") for pair in text.split(",") if pair]
            return {name.strip(): float(number) for name, number in pairs}
        except ValueError:
            raise ImproperlyConfigured(_said(var, f"must be as bulk=0.5,high=0.1, not {text!r}")) from None

    def level(self, var: str, default: str) -> str:
        """Return the name of a level of the log."""
        found: str = self.str(var, default).upper()
        if found not in LEVELS:
            raise ImproperlyConfigured(_said(var, f"must be one of {', '.join(LEVELS)}, not {found!r}"))
        return found


def _said(var: str, wrong: str) -> str:
    return f"{var} {wrong}; see docs/reference/settings.md."
