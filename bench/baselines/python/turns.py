"""What every baseline in Python does: read the plan, warm up, say "ready", then send everything for each line it reads.

The clocks run from the line to the last answer. Standard library alone: each baseline has an environment of its own.
"""

import json
import os
import resource
import sys
import time
from collections import Counter


def run(make):
    """`make(plan)` returns what sends a list of messages and returns for each "" or why it was refused."""
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = plan["ca_file"]
    with open(plan["messages"], encoding="utf-8") as file:
        messages = [json.loads(line) for line in file]
    send, version = make(plan)
    send(messages[: plan["warm"]])
    print("ready", flush=True)
    for _ in sys.stdin:
        send(messages[:20])  # aioapns closes a connection after 10 s: nobody's new one counts
        cpu, began = used(), time.perf_counter()
        outcomes = send(messages)
        seconds, cpu = time.perf_counter() - began, used() - cpu
        refused = Counter(outcomes)
        sent = refused.pop("", 0)
        answer = {
            "sent": sent,
            "refused": refused,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "version": version,
        }
        print(json.dumps(answer), flush=True)


def used():
    """Return the CPU seconds of all this process's threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
