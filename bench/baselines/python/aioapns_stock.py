"""aioapns: one client, `send_notification` in as many tasks as the plan has."""

import asyncio
import logging
import ssl
from importlib.metadata import version

import turns
from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol

logging.disable(logging.CRITICAL)  # a line for every message whose connection was closed


def make(plan):
    apns = plan["apns"]
    host, _, port = apns["host"].removeprefix("https://").partition(":")
    APNsProductionClientProtocol.APNS_SERVER = host
    APNsProductionClientProtocol.APNS_PORT = int(port)
    context = ssl.create_default_context(cafile=plan["ca_file"])
    context.set_alpn_protocols(["h2"])
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def client():
        return APNs(
            key=apns["private_key"],
            key_id=apns["key_id"],
            team_id=apns["team_id"],
            topic=apns["topic"],
            ssl_context=context,
            max_connections=1,
        )

    apns_client = loop.run_until_complete(client())

    def request(message):
        return NotificationRequest(
            device_token=message["token"],
            message={
                "aps": {
                    "alert": {"title": message["title"], "body": message["body"]},
                    "sound": "default",
                    "thread-id": "news",
                },
                **message["data"],
                "link": message["link"],
                "nh": {"id": message["notification"], "run": plan["run"]},
            },
            notification_id=message["notification"],
            time_to_live=3600,
            priority=10,
            collapse_key=message["notification"],
            push_type=PushType.ALERT,
        )

    async def all_of(messages):
        waiting = iter(enumerate(messages))
        outcomes = ["no result"] * len(messages)

        async def work():
            for index, message in waiting:
                result = await apns_client.send_notification(request(message))
                outcomes[index] = "" if result.is_successful else str(result.description)

        await asyncio.gather(*(work() for _ in range(plan["concurrency"])))
        return outcomes

    return lambda messages: loop.run_until_complete(all_of(messages)), f"aioapns {version('aioapns')}"


turns.run(make)
