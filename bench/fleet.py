"""`python -m bench fleet`: how many requests the fleet answers in a second of one core.

A Go program sends FCM and APNs messages, one connection a provider and 500 requests in flight, without latency; the CPU
of the fleet's process is what counts, so that whatever else the machine does matters little.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import meter, peers, result
from bench.senders import GO, PROVIDERS, Client, ClientError, one_pass, running, write_plan
from fleet.client import Fleet, FleetError

NAME = "fleet"


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = argparse.ArgumentParser(prog="python -m bench fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one pass instead of three, and fewer messages")
    parser.add_argument("--passes", type=int, default=3, metavar="N", help="passes (3)")
    parser.add_argument("--messages", type=int, default=30_000, metavar="N", help="of a pass (30000)")
    parser.add_argument("--concurrency", type=int, default=500, metavar="N", help="requests in flight (500)")
    parser.add_argument("--provider", choices=PROVIDERS, action="append", help="one provider only (both)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    options = arguments().parse_args(argv)
    if options.quick:
        options.passes, options.messages = 1, 10_000
    providers = options.provider or list(PROVIDERS)
    load = round(os.getloadavg()[0], 1)
    passes: dict[str, list[dict[str, float]]] = {provider: [] for provider in providers}
    try:
        goals = result.read_goals(NAME)
        command = peers.go_command()
        with tempfile.TemporaryDirectory(prefix="notifyhub-bench-") as folder, ExitStack() as stack:
            fleet = stack.enter_context(Fleet.start(Path(folder) / "fleet"))
            clients = [
                stack.enter_context(
                    running(GO, provider, command, write_plan(fleet, Path(folder), GO, provider, options))
                )
                for provider in providers
            ]
            for number in range(1, options.passes + 1):
                for client in clients:
                    done = _measured(fleet, client)
                    passes[client.provider].append(done)
                    print(
                        f"bench: pass {number}, {client.provider}: {done['cpu_ms_per_1000']:.1f} ms CPU per 1,000, "
                        f"{done['per_core_second']:,.0f} in a core's second, {done['per_second']:,.0f} in a second",
                        file=sys.stderr,
                        flush=True,
                    )
    except (peers.PeerError, FleetError, ClientError, result.GoalsError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return result.UNUSABLE
    figures: dict[str, Any] = {
        "passes": options.passes,
        "messages": options.messages,
        "concurrency": options.concurrency,
        "machine": {"cpus": os.cpu_count(), "load_before": load},
    }
    for provider in providers:
        figures[provider] = {
            name: result.middle(done[name] for done in passes[provider]) for name in passes[provider][0]
        }
    ratios = {f"per_core_second_{name}": float(figures[name]["per_core_second"]) for name in providers}
    print(result.line(NAME, figures=figures, ratios=ratios, goals=goals), flush=True)
    return result.DELIVERED


def _measured(fleet: Fleet, client: Client) -> dict[str, float]:
    used = meter.Meter([fleet.pid], name=lambda pid: NAME)
    before = used.read()[NAME]
    done = one_pass(fleet, client)
    cpu = used.read()[NAME] - before
    return {
        "cpu_ms_per_1000": cpu / client.messages * 1e6,
        "per_core_second": client.messages / cpu,
        "per_second": int(done["sent"]) / float(done["seconds"]),
    }
