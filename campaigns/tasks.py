"""The Celery task of the engine: it answers the bell of a lane's events."""

from celery import shared_task

from campaigns.engine import decide as decide_batch
from delivery.draining import drain


@shared_task(name="campaigns.decide", ignore_result=True)
def decide(lane: str) -> None:
    """Decide the undecided events of a lane."""
    drain("decide", lane, lambda: decide_batch(lane) > 0)
