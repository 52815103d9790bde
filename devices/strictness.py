"""Serializers that refuse what they do not know instead of dropping it."""

from collections.abc import Container, Iterable, Sequence
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
    """Mixin: an error names the field that may have been meant, and the choices that there are."""

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()  # type: ignore[misc]
        for field in fields.values():
            chooser = getattr(field, "child", field)
            if isinstance(chooser, serializers.ChoiceField):
                names = ", ".join(str(name) for name in chooser.choices if name != "")
                chooser.error_messages["invalid_choice"] = f"“{{input}}” is not one of {names}."
        return fields

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            fields = self.fields  # type: ignore[attr-defined]
            writable = [name for name, field in fields.items() if not field.read_only]
            refuse_unknown(data, writable, known=fields)
        return super().to_internal_value(data)  # type: ignore[misc]


def refuse_unknown(
    names: Iterable[Any], taken: Sequence[str], *, known: Container[Any] = (), noun: str = "field"
) -> None:
    """Refuse names that are not `taken`, each with the one that may have been meant; `known` ones are the hub's."""
    errors = {
        str(name)[:100]: [
            "This is set by the hub; leave it out." if name in known else unknown(name, taken, noun)
        ]
        for name in names
        if name not in taken
    }
    if errors:
        raise serializers.ValidationError(errors)


def unknown(name: Any, taken: Sequence[str], noun: str = "field") -> str:
    """Say that there is no such name, and which one may have been meant or which there are."""
    near = get_close_matches(str(name), taken, n=1)
    there = f"did you mean “{near[0]}”?" if near else f"there are {', '.join(taken) or 'none'}."
    return f"There is no such {noun}; {there}"


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
