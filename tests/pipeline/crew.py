"""The processes of a hub that does more at once than one supervisor: a second worker and two more clocks."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from django.conf import settings

from notifyhub import parts
from notifyhub.orphans import die_with_parent
from tests.pipeline.dramas import Theatre, theatre

EXTRAS = (parts.REST, parts.CLOCK, parts.CLOCK)
GRACE = 20.0


class Extra:
    """A part beside those of the supervisor."""

    def __init__(self, role: str, log: Path) -> None:
        self.role = role
        self._log = log
        self.start()

    def start(self) -> None:
        """Start the process, anew when it has ended."""
        [part] = parts.parts((self.role,))
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                part.command,
                cwd=settings.BASE_DIR,
                env={**os.environ, "NOTIFYHUB_ROLE": self.role},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def end(self) -> None:
        """Ask the process to end, and see to it."""
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Crew:
    """Every process that works: the supervisor's own, and the extras, which are started again as it does."""

    def __init__(self, scene: Theatre) -> None:
        self._scene = scene
        self.extras = [Extra(role, settings.DATA_DIR / "extras.log") for role in EXTRAS]

    def members(self, *roles: str) -> list[psutil.Process]:
        """Return the living processes of these roles; an extra that ended is back."""
        for extra in self.extras:
            if extra.process.poll() is not None:
                extra.start()
        found = [psutil.Process(extra.process.pid) for extra in self.extras if extra.role in roles]
        supervisor = psutil.Process(self._scene.process.pid)
        for child in supervisor.children():
            try:
                if child.environ().get("NOTIFYHUB_ROLE") in roles:
                    found.append(child)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def has_ended(self, member: psutil.Process) -> bool:
        """Return whether a process has ended, its code run and its hands empty."""
        for extra in self.extras:
            if extra.process.pid == member.pid:
                extra.process.poll()  # a child of this process has to be reaped here
        try:
            return not member.is_running() or member.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def end(self) -> None:
        for extra in self.extras:
            extra.end()


@contextmanager
def company_theatre(people: int) -> Iterator[tuple[Theatre, Crew]]:
    """Run a hub and a fleet with all their extras."""
    with theatre(people) as scene:
        crew = Crew(scene)
        try:
            yield scene, crew
        finally:
            crew.end()
