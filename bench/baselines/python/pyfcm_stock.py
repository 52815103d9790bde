"""pyfcm as its README shows it: `notify`, which waits for its answer, in 16 threads with a session each."""

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import turns
from google.oauth2 import service_account
from pyfcm import FCMNotification

THREADS = 16


def make(plan):
    fcm = plan["fcm"]
    FCMNotification.FCM_END_POINT_BASE = fcm["endpoint"].rsplit("/", 2)[0]
    # google-auth asks for a token of Google's address, whatever the account says.
    service_account._GOOGLE_OAUTH2_TOKEN_ENDPOINT = fcm["token_url"]
    client = FCMNotification(service_account_file=fcm["account_file"], project_id=fcm["project"])
    pool = ThreadPoolExecutor(THREADS)

    def one(message):
        try:
            client.notify(
                fcm_token=message["token"],
                notification_title=message["title"],
                notification_body=message["body"],
                data_payload={
                    **message["data"],
                    "link": message["link"],
                    "nh_id": message["notification"],
                    "nh_run": plan["run"],
                },
                android_config={
                    "priority": "HIGH",
                    "ttl": "3600s",
                    "notification": {
                        "tag": message["notification"],
                        "channel_id": "news",
                        "sound": "default",
                    },
                },
            )
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:100]
        return ""

    return lambda messages: list(pool.map(one, messages)), f"pyfcm {version('pyfcm')}, {THREADS} threads"


turns.run(make)
