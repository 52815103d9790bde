"""Serializers that refuse what they do not know instead of dropping it."""

from difflib import get_close_matches
from typing import Any, cast

import msgspec
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, transaction
from rest_framework import serializers

from devices.problems import from_django, refuse

MOST_ENTRIES = 100
MOST_BYTES = 16_384


class Strict:
    """Mixin: an unknown field is an error that names the one that may have been meant."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            fields = self.fields  # type: ignore[attr-defined]
            writable = [name for name, field in fields.items() if not field.read_only]
            errors = {
                str(name)[:100]: [_unknown(str(name), fields, writable)]
                for name in data
                if name not in writable
            }
            if errors:
                raise serializers.ValidationError(errors)
        return super().to_internal_value(data)  # type: ignore[misc]


def _unknown(name: str, fields: Any, writable: list[str]) -> str:
    if name in fields:
        return "This is set by the hub; leave it out."
    near = get_close_matches(name, writable, n=1)
    return (
        f"There is no such field; did you mean “{near[0]}”?"
        if near
        else (f"There is no such field; there are {', '.join(writable)}.")
    )


class StrictSerializer(Strict, serializers.Serializer[Any]):
    """A document that is read strictly."""


class StrictModelSerializer(Strict, serializers.ModelSerializer[Any]):
    """A resource that is read strictly and saved in its application."""

    def save(self, **values: Any) -> Any:
        try:
            with transaction.atomic():
                return super().save(**values)
        except DjangoValidationError as error:
            raise from_django(error) from None
        except IntegrityError:
            # the only constraints that a valid document can still break are the unique ones
            name = cast(Any, self).Meta.model._meta.verbose_name
            raise refuse(
                409,
                "exists",
                "It exists already",
                f"There is another {name} of that name in this application.",
            ) from None


def bounded(value: Any) -> None:
    """Refuse a JSON value that is larger than 16 KiB or has more than 100 entries at its top."""
    if isinstance(value, dict | list) and len(value) > MOST_ENTRIES:
        raise serializers.ValidationError(f"At most {MOST_ENTRIES} entries.")
    if len(msgspec.json.encode(value)) > MOST_BYTES:
        raise serializers.ValidationError(f"At most {MOST_BYTES:,} bytes.")
