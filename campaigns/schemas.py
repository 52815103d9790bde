"""JSON Schemas of event types: refused when they are wrong, and what an event's data lacks by them."""

import json
from functools import lru_cache
from typing import Any

import jsonschema
from django.utils.translation import gettext as _
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable


class SchemaError(ValueError):
    """A schema that is none, with the place and the reason."""


class DataError(ValueError):
    """Data that does not fit its schema: `pointer` (RFC 6901, within the data) and the reason."""

    def __init__(self, pointer: str, reason: str) -> None:
        self.pointer = pointer
        super().__init__(reason)


def check_schema(schema: Any) -> None:
    """Refuse what is no JSON Schema (draft 2020-12 unless `$schema` says another); raises `SchemaError`."""
    if not isinstance(schema, dict):
        raise SchemaError(_("A JSON Schema is an object."))
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    error = best_match(kind(kind.META_SCHEMA).iter_errors(schema))
    if error is not None:
        place = error.json_path.removeprefix("$").lstrip(".") or _("the schema")
        raise SchemaError(f"{place}: {error.message[:200]}")


def check_data(schema: dict[str, Any], data: Any) -> None:
    """Refuse data that a schema does not allow; raises `DataError`."""
    try:
        error = best_match(_validator(json.dumps(schema, sort_keys=True)).iter_errors(data))
    except Unresolvable as missing:
        reference = getattr(missing, "ref", "a reference")
        raise DataError(
            "",
            _("the event type's schema refers to %(reference)s, which is not in it")
            % {"reference": reference},
        ) from None
    if error is not None:
        pointer = "".join(
            "/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path
        )
        raise DataError(pointer, error.message[:300])


@lru_cache(maxsize=512)
def _validator(text: str) -> Any:
    schema = json.loads(text)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    # an empty registry: the default one fetches references from the network
    return kind(schema, registry=Registry())
