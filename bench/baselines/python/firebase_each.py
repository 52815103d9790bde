"""Sends a plan's FCM messages by firebase-admin's `send_each`, and nothing else: `send.py PLAN MESSAGES RUN`.

Everything is loaded and built first; wall time and CPU are measured from there to the last answer. The last line of
its output is JSON.
"""

import collections
import json
import resource
import sys
import time
from urllib.parse import urlsplit

import firebase_admin
import requests
from firebase_admin import _http_client, credentials, messaging
from google.oauth2 import service_account

AT_ONCE = 100
"""Messages a call. It takes 500 and makes a thread for each, but keeps 100 connections: this is its cheaper way."""


def message_of(line: bytes, run: str) -> messaging.Message:
    """Return a payload as firebase-admin's own message."""
    wire = json.loads(line)["message"]
    android, notice = wire["android"], wire["notification"]
    return messaging.Message(
        token=wire["token"],
        data={**wire["data"], "nh_run": run},
        notification=messaging.Notification(title=notice["title"], body=notice["body"]),
        android=messaging.AndroidConfig(
            priority=android["priority"].lower(),
            ttl=int(android["ttl"].rstrip("s")),
            notification=messaging.AndroidNotification(tag=android["notification"]["tag"]),
        ),
    )


def use_the_fleet(endpoint: str) -> None:
    """Let firebase-admin call the stand-in as it calls Google: the same pool of connections, the same retries."""
    messaging._MessagingService.FCM_URL = endpoint
    place = urlsplit(endpoint)
    adapter = requests.adapters.HTTPAdapter(
        pool_connections=100, pool_maxsize=100, max_retries=_http_client.DEFAULT_RETRY_CONFIG
    )
    service = messaging._get_messaging_service(firebase_admin.get_app())
    service._client.session.mount(f"{place.scheme}://{place.netloc}", adapter)


def main(plan_path: str, count: str, run: str) -> None:
    with open(plan_path, "rb") as file:
        plan = json.load(file)
    with open(plan["fcm"]["messages"], "rb") as file:
        messages = [message_of(line, run) for line, _ in zip(file, range(int(count)), strict=False)]
    account = plan["fcm"]["service_account"]
    service_account._GOOGLE_OAUTH2_TOKEN_ENDPOINT = account["token_uri"]  # the audience that it signs for
    firebase_admin.initialize_app(credentials.Certificate(account))
    use_the_fleet(plan["fcm"]["endpoint"])
    sent, refused = 0, collections.Counter()
    before, began = cpu(), time.monotonic()
    for start in range(0, len(messages), AT_ONCE):
        for answer in messaging.send_each(messages[start : start + AT_ONCE]).responses:
            if answer.success:
                sent += 1
            else:
                refused[type(answer.exception).__name__] += 1
    seconds, used = time.monotonic() - began, cpu() - before
    print(
        json.dumps(
            {
                "messages": len(messages),
                "sent": sent,
                "refused": refused,
                "seconds": seconds,
                "cpu_seconds": used,
                "version": f"firebase-admin {firebase_admin.__version__}, send_each of {AT_ONCE}",
            }
        )
    )


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
