"""Our senders as a program that the benchmark drives: `python -m bench.sending PLAN.json`, as the baselines are.

It reads the messages into memory, sends some to warm up, says "ready", and then for every line on standard input
sends them all: payloads, tokens, errors and results included.
"""

import json
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from delivery.content import Content
from delivery.senders.contract import Credential, Envelope, Message, Verdict
from delivery.senders.registry import sender_for
from delivery.senders.tokens import MemoryTokenStore


def main(path: str) -> int:
    """Run the program."""
    plan = json.loads(Path(path).read_bytes())
    credential = credential_of(plan)
    sender = sender_for(plan["provider"], tokens=MemoryTokenStore(), streams=plan["concurrency"])
    whole = envelope_of(plan, count=None)
    list(sender.send(envelope_of(plan, count=plan["warm"]), credential))
    print("ready", flush=True)
    for _ in sys.stdin:
        cpu, began = _used(), time.perf_counter()
        results = list(sender.send(whole, credential))
        seconds, cpu = time.perf_counter() - began, _used() - cpu
        refused = Counter(result.reason for result in results if result.verdict is not Verdict.SENT)
        answer = {
            "sent": len(results) - refused.total(),
            "refused": refused,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "version": f"Python {sys.version.split()[0]}",
        }
        print(json.dumps(answer), flush=True)
    return 0


def credential_of(plan: dict[str, Any]) -> Credential:
    """Return what the plan shows its provider."""
    if plan["provider"] == "fcm":
        return Credential(
            uid="bench",
            application=1,
            secret={"service_account": json.loads(Path(plan["fcm"]["account_file"]).read_bytes())},
            base_url=plan["fcm"]["base"],
            token_url=plan["fcm"]["token_url"],
            ca_file=plan["ca_file"],
        )
    apns = plan["apns"]
    return Credential(
        uid="bench",
        application=1,
        secret={name: apns[name] for name in ("private_key", "key_id", "team_id")},
        settings={"topic": apns["topic"]},
        base_url=apns["host"],
        ca_file=plan["ca_file"],
    )


def envelope_of(plan: dict[str, Any], *, count: int | None) -> Envelope:
    """Return the plan's first messages, each with a content of its own, as personal texts are."""
    with Path(plan["messages"]).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:count]
    contents = [
        Content(
            title=row["title"],
            body=row["body"],
            link=row["link"],
            data=row["data"],
            sound="default",
            android={"channel_id": "news"},
            ios={"thread_id": "news"},
        )
        for row in rows
    ]
    messages = [
        Message(number, number, row["token"], row["notification"], number) for number, row in enumerate(rows)
    ]
    return Envelope(
        run=plan["run"],
        lane="high",
        expires_at=float(plan["expiration"]),
        contents=contents,
        messages=messages,
    )


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
