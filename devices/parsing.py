"""Reads JSON bodies: bounded, strict, and with the place where one cannot be read."""

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.parsers import BaseParser

from devices.problems import refuse

_SUSPECT = re.compile(r"\\u(0000|[dD][89a-fA-F])")
"""Escapes that may make texts no database can store: NUL and halves of surrogate pairs."""


class LimitedJsonParser(BaseParser):
    """JSON (RFC 8259) of at most `settings.DATA_UPLOAD_MAX_MEMORY_SIZE` bytes, without NaN and infinities."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return read_json(self._body(stream, parser_context))

    def _body(self, stream: IO[Any], context: Mapping[str, Any] | None) -> bytes:
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        request = (context or {}).get("request")
        coding = request.META.get("HTTP_CONTENT_ENCODING", "identity") if request is not None else "identity"
        if coding.lower() != "identity":
            raise refuse(
                415,
                "unsupported-media-type",
                "This kind of body is not taken here",
                "Bodies are read as they are: send it without “Content-Encoding”.",
            )
        declared = request.META.get("CONTENT_LENGTH", "") if request is not None else ""
        if str(declared).isdigit() and int(declared) > limit:
            raise _too_large(limit)
        body: bytes = stream.read(limit + 1)
        if len(body) > limit:
            raise _too_large(limit)
        return body


class CloudEventParser(LimitedJsonParser):
    """One event in structured mode (CloudEvents HTTP binding 1.0.2 section 3.2)."""

    media_type = "application/cloudevents+json"


class CloudEventBatchParser(LimitedJsonParser):
    """A batch of events (CloudEvents HTTP binding 1.0.2 section 3.3)."""

    media_type = "application/cloudevents-batch+json"


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text; raises a 400 problem with line and column for anything else."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"Byte {error.start} is not UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg}, at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _malformed("It is nested too deep.") from None
    except ValueError as error:
        raise _malformed(
            str(error) if isinstance(error, _NumberError) else "A number in it has too many digits."
        ) from None
    if _SUSPECT.search(text):
        _check_texts(value)
    return value


class _NumberError(ValueError):
    """A number that JSON does not have."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NumberError(f"{name} is no JSON value; write null or leave it out.")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _NumberError(f"{digits[:30]} is too large a number.")
    return value


def _check_texts(value: Any) -> None:
    plain = json.dumps(value, ensure_ascii=False)
    if re.search(r"(?<!\\)(\\\\)*\\u0000", plain):
        raise _malformed("A text in it holds the character NUL (\\u0000), which cannot be stored.")
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise _malformed("A text in it holds half of a surrogate pair (\\ud800 to \\udfff).") from None


def _malformed(detail: str) -> Exception:
    return refuse(400, "malformed-json", "The body is not JSON", detail)


def _too_large(limit: int) -> Exception:
    return refuse(
        413, "too-large", "The body is too large", f"A body is at most {limit:,} bytes; send it in parts."
    )
