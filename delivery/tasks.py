"""The Celery tasks of delivery: each answers a bell, by stage and lane."""

from celery import shared_task

from delivery import alerts, counting
from delivery.draining import drain, plan_one, send_one


@shared_task(name="delivery.plan", ignore_result=True)
def plan(lane: str) -> None:
    """Plan the due pages of a lane."""
    drain("plan", lane, lambda: plan_one(lane))


@shared_task(name="delivery.send", ignore_result=True)
def send(provider: str, lane: str) -> None:
    """Send the due parcels of a provider and lane."""
    drain(provider, lane, lambda: send_one(provider, lane))


@shared_task(name="delivery.count", ignore_result=True)
def count(lane: str) -> None:
    """Count what devices and people did."""
    drain("count", lane, counting.step)


@shared_task(name="delivery.alert", ignore_result=True)
def alert(lane: str) -> None:
    """Send the notes to the staff that are due."""
    drain("alert", lane, alerts.send_one)
