"""FCM's HTTP v1 endpoint: who may send, to whom, and what becomes of it.

Sources: "Method: projects.messages.send", "ErrorCode" and "FCM error codes",
firebase.google.com/docs/reference/fcm/rest/v1 and firebase.google.com/docs/cloud-messaging/error-codes.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from functools import lru_cache

from fleet import fcm_message, google
from fleet.fcm_schema import Message
from fleet.http import JSON, Reply, Request
from fleet.oauth import TOKEN_PATH, TokenEndpoint
from fleet.world import World

_SEND = re.compile(r"/v1/projects/([^/]+)/messages:send").fullmatch
_OK_HEADERS = [JSON]


class Fcm:
    """Answers the token endpoint and messages:send on one port, as two Google hosts would."""

    def __init__(self, world: World, oauth: TokenEndpoint) -> None:
        self._world = world
        self._oauth = oauth
        self._sent = 0
        self.answers: Counter[str] = Counter()

    def handle(self, request: Request) -> Reply:
        """Answer one request, a send through the faults that hold."""
        trouble = self._world.trouble["fcm"]
        if request.path == TOKEN_PATH:
            self._oauth.refuses = trouble.faults.refuse_credentials
            return self._oauth.answer(request)
        return trouble.befall(self, request)

    def answer(self, request: Request) -> Reply:
        """Answer a send by Google's rules."""
        project = _project(request.path)
        if project is None or request.method != "POST":
            return google.not_found()
        refusal = self._unauthorised(project, request.headers.get("authorization", ""))
        if refusal is not None:
            return refusal
        try:
            sent = fcm_message.read(request.body)
            message = sent.message
            device = None if message.token is None else self._world.devices.mint.fcm_device(message.token)
            if message.token is not None and device is None:
                fcm_message.check_token(message.token)
        except fcm_message.MessageError as error:
            self.answers["INVALID_ARGUMENT"] += 1
            return google.invalid_argument(error.field, error.description, by_parser=error.by_parser)
        if message.token is not None:
            code = self._undeliverable(project, device)
            if code is not None:
                return self.refuse(code)
        if sent.validate_only:
            return self._accepted(project, "fake_message_id")
        if device is not None:
            self._deliver(device, message, request)
        self._sent += 1
        return self._accepted(project, f"0:{time.time_ns() // 1000}%{self._sent:016x}")

    def refuse(self, reason: str, *, retry_after: int | None = None) -> Reply:
        """Refuse a send with one of FCM's error codes."""
        self.answers[reason] += 1
        return google.fcm_error(reason, retry_after=retry_after)

    def outage(self, status: int) -> str:
        return "INTERNAL" if status == 500 else "UNAVAILABLE"

    def quota(self) -> str:
        return "QUOTA_EXCEEDED"

    def _unauthorised(self, project: str, authorization: str) -> Reply | None:
        if authorization[:7].lower() != "bearer " or len(authorization) == 7:
            self.answers["UNAUTHENTICATED"] += 1
            return google.unauthenticated("CREDENTIALS_MISSING")
        grant = self._oauth.grant(authorization[7:])
        if grant is None or self._world.trouble["fcm"].faults.refuse_credentials:
            self.answers["UNAUTHENTICATED"] += 1
            return google.unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED")
        if grant.expires_at <= time.time():
            self.answers["UNAUTHENTICATED"] += 1
            return google.unauthenticated("ACCESS_TOKEN_EXPIRED")
        if grant.project != project:
            self.answers["PERMISSION_DENIED"] += 1
            return google.permission_denied(project)
        return None

    def _undeliverable(self, project: str, device: int | None) -> str | None:
        batch = None if device is None else self._world.devices.batch(device)
        if device is None or batch is None or batch.provider != "fcm":
            return "UNREGISTERED"
        if batch.home != project:
            return "SENDER_ID_MISMATCH"
        if self._world.dead_since("fcm", device) is not None:
            return "UNREGISTERED"
        return None

    def _deliver(self, device: int, message: Message, request: Request) -> None:
        self._world.letters.put("fcm", device, request.headers, request.body)
        data = message.data or {}
        android = message.android
        own = android and android.notification
        shown = message.notification
        self._world.record.accept(
            "fcm",
            device,
            run=data.get("nh_run", ""),
            notification=data.get("nh_id", ""),
            identity=(own and own.tag) or "",
            title=(own and own.title) or (shown and shown.title) or "",
            body=(own and own.body) or (shown and shown.body) or "",
            visible=shown is not None or own is not None,
            event_at=_instant(data.get("nh_at")),
        )

    def _accepted(self, project: str, name: str) -> Reply:
        self.answers["200"] += 1
        return Reply(200, f'{{"name": "projects/{project}/messages/{name}"}}'.encode(), _OK_HEADERS)


@lru_cache(maxsize=1024)
def _project(path: str) -> str | None:
    """Return the project of a path of messages:send, None for another path."""
    found = _SEND(path)
    return found.group(1) if found else None


def _instant(text: str | None) -> int:
    """Return milliseconds since the epoch, 0 where there are none."""
    return int(text) if text and text.isdecimal() else 0
