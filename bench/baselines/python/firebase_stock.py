"""firebase-admin's `send_each_async`: batches of 500 over httpx with HTTP/2, the cheaper of its two ways."""

import asyncio
from importlib.metadata import version

import turns

BATCH = 500
"""The most that it takes at once."""


def make(plan):
    import firebase_admin
    from firebase_admin import credentials, messaging
    from google.oauth2 import service_account

    fcm = plan["fcm"]
    messaging._MessagingService.FCM_URL = fcm["endpoint"].replace(f"/{fcm['project']}/", "/{0}/")
    # google-auth asks for a token of Google's address, whatever the account says.
    service_account._GOOGLE_OAUTH2_TOKEN_ENDPOINT = fcm["token_url"]
    firebase_admin.initialize_app(credentials.Certificate(fcm["account_file"]))
    loop = asyncio.new_event_loop()

    def one(message):
        return messaging.Message(
            token=message["token"],
            data={
                **message["data"],
                "link": message["link"],
                "nh_id": message["notification"],
                "nh_run": plan["run"],
            },
            notification=messaging.Notification(title=message["title"], body=message["body"]),
            android=messaging.AndroidConfig(
                priority="high",
                ttl=3600,
                notification=messaging.AndroidNotification(
                    tag=message["notification"], channel_id="news", sound="default"
                ),
            ),
        )

    def send(messages):
        outcomes = []
        for at in range(0, len(messages), BATCH):
            batch = [one(message) for message in messages[at : at + BATCH]]
            answer = loop.run_until_complete(messaging.send_each_async(batch))
            outcomes += [
                "" if each.success else f"{type(each.exception).__name__}: {each.exception}"[:100]
                for each in answer.responses
            ]
        return outcomes

    return send, f"firebase-admin {version('firebase-admin')}, send_each_async"


turns.run(make)
