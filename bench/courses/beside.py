"""Other senders at the same fleet, after our rounds: they send some of the same messages, and do nothing else."""

from pathlib import Path
from uuid import uuid4

import msgspec

from bench import others
from bench.course import tell
from bench.stand import Stand


def send(stand: Stand, plan: Path) -> dict[str, others.Sent]:
    """Let every other program of the course send; return what each came to."""
    found = {}
    for name, python in stand.course.others.items():
        run = str(uuid4())
        said = others.run(name, Path(python), plan, messages=others.MESSAGES, run=run)
        accepted = stand.fleet.arrived(run=run)["total"]["accepted"]
        found[name] = msgspec.convert({**said, "accepted": accepted}, others.Sent)
        tell(
            f"{name}: {found[name].sent / found[name].seconds:,.0f} messages/s, "
            f"{found[name].cpu_ms_per_1000:.0f} ms CPU per 1,000"
        )
    return found
