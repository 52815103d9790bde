"""The Celery tasks of the engine and of imports: each answers a bell."""

from celery import shared_task

from campaigns import engine
from delivery.draining import drain
from devices.importing import work_one


@shared_task(name="campaigns.decide", ignore_result=True)
def decide(lane: str) -> None:
    """Decide the undecided events of a lane."""
    drain("decide", lane, lambda: engine.step(lane))


@shared_task(name="campaigns.import", ignore_result=True)
def import_people(lane: str) -> None:
    """Work the imports of CSV files that are due."""
    drain("import", lane, work_one)
