"""`python -m bench senders`: what sending costs, beside a Go program and the Python packages for it.

For FCM and APNs, without latency and with 50 ms: the CPU-seconds of 1,000 messages and how many go in a second. Every
program builds the payload, shows its token, reads the answer and keeps an outcome. They take turns, three times.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench import peers, result
from fleet.client import Fleet, FleetError

NAME = "senders"
PROVIDERS = ("fcm", "apns")
LATENCIES = (0, 50)
"""Milliseconds that the fleet waits with an answer."""
TOPIC = "com.example.bench"
PROJECT = "bench"
GOGC = "400"
"""Per cent that Go's heap may grow between two collections: of 100 to 1,000 it cost least with this (`bench main`)."""
SECONDS_TO_SEND = 600.0
OURS, GO = "ours", "go"
BODIES = (
    "You have {points} points, {name}. Tap to see what they are worth this week.",
    "Du hast {points} Punkte, {name}. Tippe, um zu sehen, was sie diese Woche wert sind.",
    "Vous avez {points} points, {name}. Touchez pour voir ce qu’ils valent cette semaine.",
    "{name}さん、{points}ポイントあります。今週の特典を見るにはタップしてください。",
)


@dataclass
class Client:
    """A program that runs and what its passes came to, by latency."""

    name: str
    provider: str
    messages: int
    process: "subprocess.Popen[str]"
    passes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


class ClientError(Exception):
    """A program failed, or what it sent did not arrive."""


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = argparse.ArgumentParser(prog="python -m bench senders", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one pass instead of three, and fewer messages")
    parser.add_argument("--passes", type=int, default=3, metavar="N", help="passes (3)")
    parser.add_argument("--messages", type=int, default=20_000, metavar="N", help="of ours and Go's pass")
    parser.add_argument("--peer-messages", type=int, default=2_000, metavar="N", help="of a peer's pass")
    parser.add_argument("--concurrency", type=int, default=500, metavar="N", help="requests in flight (500)")
    parser.add_argument("--provider", choices=PROVIDERS, action="append", help="one provider only (both)")
    parser.add_argument("--latency-ms", type=int, action="append", metavar="MS", help="only this (0 and 50)")
    parser.add_argument("--without-peers", action="store_true", help="only ours and Go")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    options = arguments().parse_args(argv)
    if options.quick:
        options.passes, options.messages, options.peer_messages = 1, 5_000, 500
    providers = options.provider or list(PROVIDERS)
    latencies = options.latency_ms if options.latency_ms is not None else list(LATENCIES)
    load = round(os.getloadavg()[0], 1)
    try:
        goals = result.read_goals(NAME)
        commands = commands_of(providers, with_peers=not options.without_peers)
        with tempfile.TemporaryDirectory(prefix="notifyhub-bench-") as folder, ExitStack() as stack:
            fleet = stack.enter_context(Fleet.start(Path(folder) / "fleet"))
            # aioapns takes the first limit of a connection for its last: that would be a measure of nothing else.
            fleet.set_faults("apns", streams_at_once=True)
            clients = [
                stack.enter_context(
                    running(name, provider, command, write_plan(fleet, Path(folder), name, provider, options))
                )
                for name, provider, command in commands
            ]
            _take_turns(fleet, clients, latencies, options.passes)
    except (peers.PeerError, FleetError, ClientError, result.GoalsError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return result.UNUSABLE
    figures: dict[str, Any] = {
        "passes": options.passes,
        "concurrency": options.concurrency,
        "machine": {"cpus": os.cpu_count(), "load_before": load},
    }
    for provider in providers:
        mine = [client for client in clients if client.provider == provider]
        figures[provider] = {f"{latency}ms": _figures(mine, latency) for latency in latencies}
    print(result.line(NAME, figures=figures, ratios=ratios_of(clients, latencies), goals=goals), flush=True)
    return result.DELIVERED


def commands_of(providers: Sequence[str], *, with_peers: bool) -> list[tuple[str, str, list[str]]]:
    """Return name, provider and command of every program that takes part."""
    go = peers.go_command()
    ours = [sys.executable, "-m", "bench.sending"]
    found = []
    for provider in providers:
        found += [(OURS, provider, ours), (GO, provider, go)]
        for peer in peers.PEERS:
            if with_peers and peer.provider == provider:
                found.append((peer.name, provider, peers.python_command(peer)))
    return found


def ratios_of(clients: Sequence[Client], latencies: Sequence[int]) -> dict[str, float]:
    """Return ours over Go's, and the peers' over ours: the medians of what each pass came to."""
    ratios: dict[str, float] = {}
    for ours in (client for client in clients if client.name == OURS):
        for other in (
            client for client in clients if client.provider == ours.provider and client is not ours
        ):
            for latency in latencies:
                pairs = list(zip(ours.passes[latency], other.passes[latency], strict=True))
                place = f"{ours.provider}_{latency}ms"
                cpu = result.middle(_cpu(mine) / _cpu(theirs) for mine, theirs in pairs)
                if other.name == GO:
                    ratios[f"cpu_{place}"] = cpu
                    ratios[f"rate_{place}"] = result.middle(_rate(m) / _rate(t) for m, t in pairs)
                else:
                    ratios[f"{other.name}_{place}"] = result.middle([1 / cpu])
    return ratios


def _take_turns(fleet: Fleet, clients: Sequence[Client], latencies: Sequence[int], passes: int) -> None:
    for number in range(1, passes + 1):
        for latency in latencies:
            for provider in PROVIDERS:
                fleet.set_faults(provider, latency_ms=latency)
            for client in clients:
                client.passes.setdefault(latency, []).append(one_pass(fleet, client))
                done = client.passes[latency][-1]
                print(
                    f"bench: pass {number}, {client.provider}, {latency} ms, {client.name}: "
                    f"{_cpu(done):.1f} ms CPU per 1,000, {_rate(done):,.0f}/s",
                    file=sys.stderr,
                    flush=True,
                )


def one_pass(fleet: Fleet, client: Client) -> dict[str, Any]:
    """Let a program send all its messages and return what it says; raises `ClientError` unless all arrived."""
    fleet.reset()
    process = client.process
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    done: dict[str, Any] = json.loads(process.stdout.readline() or "{}")
    arrived = fleet.arrived(provider=client.provider)[client.provider]["distinct_messages"]
    if not done or arrived != client.messages or done["sent"] != client.messages:
        raise ClientError(
            f"{client.name}, {client.provider}: of {client.messages:,} messages {arrived:,} arrived, "
            f"{done.get('sent', 0):,} were answered; refused: {done.get('refused')}"
        )
    return done


@contextmanager
def running(name: str, provider: str, command: list[str], plan: Path) -> Iterator[Client]:
    """Start a program and yield it as soon as it is ready; raises `ClientError` when it does not get so."""
    process = subprocess.Popen(
        [*command, str(plan)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GOGC": GOGC},
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise ClientError(f"{name}, {provider}: it did not get ready (its own words are above)")
        count = Path(json.loads(plan.read_bytes())["messages"]).read_bytes().count(b"\n")
        yield Client(name, provider, count, process)
    finally:
        process.kill()
        process.wait()
        for end in (process.stdin, process.stdout):
            if end is not None:
                end.close()


def write_plan(fleet: Fleet, folder: Path, name: str, provider: str, options: argparse.Namespace) -> Path:
    """Write a client's messages and what it needs to send them; return the plan's path."""
    own = folder / f"{name}-{provider}"
    own.mkdir()
    count = options.messages if name in (OURS, GO) else options.peer_messages
    plan: dict[str, Any] = {
        "provider": provider,
        "ca_file": fleet.ca_file,
        "concurrency": options.concurrency,
        "warm": min(count, 1_000),
        "messages": str(own / "messages.jsonl"),
        "run": str(uuid4()),
        "expiration": int(time.time()) + 86_400,
    }
    if provider == "fcm":
        account = fleet.make_project(PROJECT)["service_account"]
        (own / "account.json").touch(0o600)
        (own / "account.json").write_text(json.dumps(account))
        plan["fcm"] = {
            "base": fleet.fcm_url,
            "endpoint": f"{fleet.fcm_url}/v1/projects/{PROJECT}/messages:send",
            "token_url": fleet.oauth_url,
            "account_file": str(own / "account.json"),
            "project": PROJECT,
        }
        plan["fcm"]["bearer"] = _bearer(plan)
        tokens = fleet.make_fcm_devices(count, project=PROJECT)
    else:
        plan["apns"] = {**fleet.make_apns_key(topics=[TOPIC]), "host": fleet.apns_url, "topic": TOPIC}
        tokens = fleet.make_apns_devices(count, topic=TOPIC)
    with (own / "messages.jsonl").open("w", encoding="utf-8") as file:
        for number, token in enumerate(tokens):
            said = {"name": f"Ada {number}", "points": number % 977}
            row = {
                "token": token,
                "notification": str(uuid4()),
                "title": f"Hello {said['name']}",
                "body": BODIES[number % len(BODIES)].format(**said),
                "link": "https://shop.example/points",
                "data": {"order": f"ORD-{number:07d}"},
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    path = own / "plan.json"
    path.touch(0o600)
    path.write_text(json.dumps(plan))
    return path


def _bearer(plan: dict[str, Any]) -> str:
    from bench.sending import credential_of
    from delivery.senders.fcm.account import Account

    return Account(credential_of(plan)).mint()[0]


def _figures(clients: Sequence[Client], latency: int) -> dict[str, Any]:
    return {
        client.name: {
            "cpu_ms_per_1000": result.middle(_cpu(done) for done in client.passes[latency]),
            "per_second": result.middle(_rate(done) for done in client.passes[latency]),
            "messages": client.messages,
            "version": client.passes[latency][-1]["version"],
        }
        for client in clients
    }


def _cpu(done: dict[str, Any]) -> float:
    return float(done["cpu_seconds"]) / int(done["sent"]) * 1e6


def _rate(done: dict[str, Any]) -> float:
    return int(done["sent"]) / float(done["seconds"])
