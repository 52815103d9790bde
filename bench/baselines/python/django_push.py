"""Sends to devices of django-push-notifications, and does nothing else: `send.py PLAN MESSAGES RUN`.

Its devices stand in an SQLite database in memory, half of them FCM's, half APNs'. Everybody is told the same, by its
bulk calls: a text for each person would need a call for each, which makes a connection for each. Making the devices
is not measured. The last line of its output is JSON.
"""

import asyncio
import collections
import functools
import importlib.metadata
import json
import resource
import ssl
import sys
import tempfile
import time
import types
from urllib.parse import urlsplit

AT_ONCE = 100
"""Devices a call."""
PATIENCE = 60.0
"""Seconds for an answer of APNs'; the library's own second is too little on a busy machine, and a call in which one
answer is late says nothing of the others."""


def set_up(plan: dict, key_path: str) -> None:
    """Configure Django and the library, its FCM and APNs clients at the fleet."""
    import django
    import firebase_admin
    import requests
    from django.conf import settings
    from django.core.management import call_command
    from firebase_admin import _http_client, credentials, messaging
    from google.oauth2 import service_account

    account = plan["fcm"]["service_account"]
    service_account._GOOGLE_OAUTH2_TOKEN_ENDPOINT = account["token_uri"]  # the audience that it signs for
    app = firebase_admin.initialize_app(credentials.Certificate(account))
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "push_notifications"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        PUSH_NOTIFICATIONS_SETTINGS={
            "FIREBASE_APP": app,
            "FCM_MAX_RECIPIENTS": AT_ONCE,
            "APNS_AUTH_KEY_PATH": key_path,
            "APNS_AUTH_KEY_ID": plan["apns"]["key_id"],
            "APNS_TEAM_ID": plan["apns"]["team_id"],
            "APNS_TOPIC": plan["apns"]["topic"],
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)

    messaging._MessagingService.FCM_URL = plan["fcm"]["endpoint"]
    place = urlsplit(plan["fcm"]["endpoint"])
    adapter = requests.adapters.HTTPAdapter(
        pool_connections=100, pool_maxsize=100, max_retries=_http_client.DEFAULT_RETRY_CONFIG
    )
    messaging._get_messaging_service(app)._client.session.mount(f"{place.scheme}://{place.netloc}", adapter)

    import aioapns.connection
    from aioapns import NotificationRequest, PushType
    from aioapns.connection import APNsProductionClientProtocol
    from push_notifications import apns_async

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context()
        made.set_alpn_protocols(["h2"])
        return made

    def patiently(answer: object, timeout: float) -> object:
        return asyncio.wait_for(answer, PATIENCE)

    # APNs speaks HTTP/2 without being asked to, and the library does not ask; the fleet wants it to.
    aioapns.connection.ssl = types.SimpleNamespace(**{**vars(ssl), "create_default_context": context})
    apns_async.asyncio = types.SimpleNamespace(**{**vars(asyncio), "wait_for": patiently})
    # Apple calls this header required and the fleet insists on it; the library never sets it.
    apns_async.NotificationRequest = functools.partial(NotificationRequest, push_type=PushType.ALERT)
    place = urlsplit(plan["apns"]["host"])
    APNsProductionClientProtocol.APNS_SERVER = place.hostname
    APNsProductionClientProtocol.APNS_PORT = place.port


def main(plan_path: str, count: str, run: str) -> None:
    with open(plan_path, "rb") as file:
        plan = json.load(file)
    half = int(count) // 2
    with open(plan["fcm"]["messages"], "rb") as file:
        fcm = [json.loads(line)["message"] for line, _ in zip(file, range(half), strict=False)]
    with open(plan["apns"]["messages"], "rb") as file:
        apns = [json.loads(line) for line, _ in zip(file, range(half), strict=False)]
    with tempfile.NamedTemporaryFile("w", suffix=".p8") as key:
        key.write(plan["apns"]["private_key"])
        key.flush()
        set_up(plan, key.name)
        send(fcm, apns, run)


def send(fcm: list, apns: list, run: str) -> None:
    from push_notifications.apns_async import Alert
    from push_notifications.exceptions import APNSError
    from push_notifications.models import APNSDevice, GCMDevice

    GCMDevice.objects.bulk_create(
        GCMDevice(registration_id=one["token"], cloud_message_type="FCM") for one in fcm
    )
    APNSDevice.objects.bulk_create(APNSDevice(registration_id=one["token"]) for one in apns)
    phones = list(GCMDevice.objects.order_by("pk").values_list("pk", flat=True))
    iphones = list(APNSDevice.objects.order_by("pk").values_list("pk", flat=True))
    title, body = fcm[0]["notification"]["title"], fcm[0]["notification"]["body"]
    sent, refused = 0, collections.Counter()
    before, began = cpu(), time.monotonic()
    for start in range(0, len(phones), AT_ONCE):
        chosen = GCMDevice.objects.filter(pk__in=phones[start : start + AT_ONCE])
        for answer in chosen.send_message(body, title=title, extra={"nh_run": run}).responses:
            if answer.success:
                sent += 1
            else:
                refused[type(answer.exception).__name__] += 1
    for start in range(0, len(iphones), AT_ONCE):
        chosen = APNSDevice.objects.filter(pk__in=iphones[start : start + AT_ONCE])
        try:
            # it puts `extra` beside `aps`, where ours stands under `nh`
            chosen.send_message(Alert(title=title, body=body), extra={"nh": {"run": run}})
        except APNSError as error:  # it says only what went wrong, with a comma between
            faults = str(error).rpartition("errors: ")[2].split(", ")
            refused.update(faults)
            sent -= len(faults)
        sent += len(iphones[start : start + AT_ONCE])
    seconds, used = time.monotonic() - began, cpu() - before
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("django-push-notifications", "firebase-admin", "aioapns")
    )
    print(
        json.dumps(
            {
                "messages": len(phones) + len(iphones),
                "sent": sent,
                "refused": refused,
                "seconds": seconds,
                "cpu_seconds": used,
                "version": f"{versions}, bulk calls of {AT_ONCE}, the same text for all",
            }
        )
    )


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
