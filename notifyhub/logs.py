"""How the hub logs: one JSON object a line (plain text at a terminal), with ids as keys and never a token."""

import logging
import os
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

BLANK = "[blanked]"
_SECRET_KEY = re.compile(
    r"(^|_)(token|secret|password|passwd|authorization|cookie|private_key|api_key|assertion|jwk|key_ring)($|_|s$)",
    re.IGNORECASE,
)
_SECRET_TEXTS = (
    (re.compile(r"(?i)\bbearer\s+[\w.~+/=-]+"), f"Bearer {BLANK}"),
    (re.compile(r"notifyhub\.auth\.[\w.~+/=-]+"), f"notifyhub.auth.{BLANK}"),
    (re.compile(r"\bnh_[A-Za-z0-9]+_[\w-]+"), f"nh_{BLANK}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), BLANK),
    (re.compile(r"(?i)\b(rediss?|amqps?|postgres(?:ql)?)://[^@/\s]*@"), rf"\1://{BLANK}@"),
)
_QUIET = (
    "twisted",
    "kombu",
    "amqp",
    "asyncio",
    "httpx",
    "httpcore",
    "cassandra",
    "celery.redirected",
    "celery.worker.strategy",  # two lines a bell, of which there are thousands
    "celery.app.trace",
    "axes",
)


def blank(value: Any, *, depth: int = 4) -> Any:
    """Return a value with what looks like a credential blanked, in texts and under telling keys."""
    if isinstance(value, str):
        for pattern, instead in _SECRET_TEXTS:
            value = pattern.sub(instead, value)
        return value
    if depth and isinstance(value, dict):
        return {
            key: BLANK if isinstance(key, str) and _SECRET_KEY.search(key) else blank(item, depth=depth - 1)
            for key, item in value.items()
        }
    if depth and isinstance(value, list | tuple):
        return [blank(item, depth=depth - 1) for item in value]
    return value


def blank_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Blank credentials in a log event: the last step before it is written, so tracebacks are covered."""
    for key, value in event.items():
        event[key] = BLANK if _SECRET_KEY.search(key) else blank(value)
    return event


def add_role(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Say which of the hub's processes speaks (`NOTIFYHUB_ROLE`, set by the supervisor)."""
    if role := os.environ.get("NOTIFYHUB_ROLE"):
        event.setdefault("role", role)
    return event


def configure(options: dict[str, Any]) -> None:
    """Set logging up for this process; Django calls it with `settings.LOGGING`, as {"level": "INFO"}.

    Both structlog's loggers and the standard library's end in the same lines on standard error.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_role,
    ]
    ending: list[Processor]
    if sys.stderr.isatty():
        plain = structlog.dev.plain_traceback
        ending = [blank_secrets, structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    else:
        ending = [
            structlog.processors.format_exc_info,
            blank_secrets,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=()), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    logging.captureWarnings(True)
    logging.root.handlers = [handler]
    logging.root.setLevel(options.get("level", "INFO"))
    for name in ("django", "django.server"):
        # Django's defaults write to the console and to mail a second time.
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The server's warnings about batches over several partitions: ours are grouped by replica, and that is the point.
    logging.getLogger("cassandra.protocol").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
