"""Values that several resources read: locales, zones, attributes, ids of a service's own."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices import formats
from devices.predicates import ATTRIBUTE_NAME
from devices.strictness import bounded
from devices.wall_time import zone_names


class LocaleField(serializers.CharField):
    """A language as BCP 47 writes it; `pt_BR` becomes pt-BR."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 35, "allow_blank": True, "required": False, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data).replace("_", "-")
        if value and not formats.LOCALE.fullmatch(value):
            raise serializers.ValidationError("Write a language tag (BCP 47), as de or pt-BR.")
        return value


class ZoneField(serializers.CharField):
    """An IANA time zone."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 64, "allow_blank": True, "required": False, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if value and value not in zone_names():
            raise serializers.ValidationError(
                "Write an IANA time zone, as Europe/Berlin or America/Sao_Paulo."
            )
        return value


@extend_schema_field({"type": "object", "additionalProperties": True})
class AttributesField(serializers.DictField):
    """What a service knows of a person: at most 100 names, 16 KiB."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value: dict[str, Any] = super().to_internal_value(data)
        bounded(value)
        for name in value:
            if not ATTRIBUTE_NAME.fullmatch(name):
                raise serializers.ValidationError(
                    {
                        name[:100]: [
                            "A name is of letters, digits, “_”, “-”, “.”, spaces, and starts with a letter or “_”."
                        ]
                    }
                )
        return value


def validate_external_id(value: str) -> None:
    """Refuse what cannot stand in an address: slashes, control characters, “.” and “..”."""
    if not formats.is_external_id(value):
        raise serializers.ValidationError("1 to 255 characters without “/” and control characters.")
