"""Lists of the API, a page at a time by key: no OFFSET, no COUNT, an opaque cursor."""

import base64
import binascii
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

DEFAULT = 50
MOST = 200


class KeysetPagination(BasePagination):
    """Newest first by primary key: `{"items": […], "after": cursor or null}`."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        limit = read_limit(request, default=DEFAULT, most=MOST)
        rows = queryset.order_by("-pk")
        if after := request.query_params.get("after"):
            rows = rows.filter(pk__lt=_decoded(after))
        found = list(rows[: limit + 1])
        self.after = _encoded(found[limit - 1].pk) if len(found) > limit else None
        return found[:limit]

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"items": data, "after": self.after})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["items", "after"],
            "properties": {
                "items": schema | {"maxItems": MOST} if schema.get("type") == "array" else schema,
                "after": {
                    "type": ["string", "null"],
                    "description": "The cursor of the next page; null: no more.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "after",
                "in": "query",
                "schema": {"type": "string"},
                "description": "Where the last page ended.",
            },
            {
                "name": "limit",
                "in": "query",
                "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT},
                "description": "How many at most.",
            },
        ]


def read_limit(request: Request, *, default: int, most: int) -> int:
    """Return the query's `limit`; raises a validation error for anything but 1 to `most`."""
    text = request.query_params.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ValidationError({"limit": [f"Write a number from 1 to {most}."]})
    return int(text)


def _encoded(key: int) -> str:
    return base64.urlsafe_b64encode(b"\x01" + key.to_bytes(8, "big")).decode().rstrip("=")


def _decoded(text: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 9 or raw[0] != 1 or raw[1] > 0x7F:
        raise ValidationError({"after": ["This cursor was not made by this server; start without one."]})
    return int.from_bytes(raw[1:], "big")
