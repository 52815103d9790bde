"""What the command line says instead of a traceback where what is wrong is outside: settings, files, servers."""

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, ProgrammingError
from redis.exceptions import RedisError

OLDER = ("no such table", "no such column")
"""What SQLite says of tables that a newer version has, or that were never made; PostgreSQL has an error for it."""


def sentence_of(error: BaseException) -> str:
    """Return what is wrong and where to put it right, or an empty text for what is a fault of ours."""
    said = " ".join(str(error).split())
    if isinstance(error, ImproperlyConfigured):
        return said
    if isinstance(error, ProgrammingError) or (
        isinstance(error, OperationalError) and any(text in said for text in OLDER)
    ):
        return f"The tables are missing or older than this version ({said}): run `manage.py prepare`."
    if isinstance(error, OperationalError | InterfaceError):
        return f"The database does not answer ({said}). DATABASE_URL says where it is."
    if isinstance(error, RedisError):
        return (
            f"Redis does not answer ({said}). NOTIFYHUB_REDIS_URL says where it is; "
            "the embedded one runs with `manage.py serve`."
        )
    if (
        type(error).__name__ == "NoHostAvailable"
    ):  # of Cassandra's driver, which is loaded only where it is used
        return f"Cassandra does not answer ({said}). NOTIFYHUB_CASSANDRA_HOSTS says where it is."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    return ""
