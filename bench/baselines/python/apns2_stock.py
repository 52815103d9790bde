"""apns2 with hyper: `send_notification_batch`, which keeps up to 1,000 streams open, as its README shows it.

compat-fork-apns2 is apns2 with newer PyJWT; hyper finds in `collections` what Python 3.10 moved, so it is put there.
"""

import collections
import collections.abc
import tempfile
from importlib.metadata import version

for name in ("Iterable", "Mapping", "MutableMapping", "MutableSet", "Sequence"):
    setattr(collections, name, getattr(collections.abc, name))

import turns
from apns2.client import APNsClient, Notification, NotificationPriority
from apns2.credentials import TokenCredentials
from apns2.payload import Payload, PayloadAlert
from hyper.tls import init_context


def make(plan):
    apns = plan["apns"]
    host, _, port = apns["host"].removeprefix("https://").partition(":")
    with tempfile.NamedTemporaryFile("w", suffix=".p8") as key:
        key.write(apns["private_key"])
        key.flush()
        credentials = TokenCredentials(key.name, apns["key_id"], apns["team_id"])
    # hyper's own authorities are all that apns2 offers.
    create = credentials.create_connection

    class Client(APNsClient):
        LIVE_SERVER, DEFAULT_PORT = host, int(port)

    def trusting(*arguments, **options):
        connection = create(*arguments, **options)
        connection.ssl_context = init_context(cert_path=plan["ca_file"])
        return connection

    credentials.create_connection = trusting
    client = Client(credentials)

    def one(message):
        alert = PayloadAlert(title=message["title"], body=message["body"])
        custom = {
            **message["data"],
            "link": message["link"],
            "nh": {"id": message["notification"], "run": plan["run"]},
        }
        payload = Payload(alert=alert, sound="default", thread_id="news", custom=custom)
        return Notification(token=message["token"], payload=payload)

    def send(messages):
        # It returns a result for each token.
        results = client.send_notification_batch(
            [one(message) for message in messages],
            topic=apns["topic"],
            priority=NotificationPriority.Immediate,
            expiration=plan["expiration"],
        )
        outcomes = [results.get(message["token"], "no result") for message in messages]
        return ["" if outcome == "Success" else str(outcome) for outcome in outcomes]

    return send, f"compat-fork-apns2 {version('compat-fork-apns2')}, hyper {version('hyper')}"


turns.run(make)
