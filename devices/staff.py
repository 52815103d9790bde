"""What a signed-in member of the staff may do in which application."""

from collections.abc import Collection

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest

from devices.models import Application, Membership, Power, Role


def roles(request: HttpRequest) -> dict[int, Role]:
    """Return the role in every application the person may enter, by its primary key.

    A superuser is an administrator of them all. Read once per request.
    """
    known: dict[int, Role] | None = vars(request).get("_staff_roles")
    if known is None:
        known = _read_roles(request)
        vars(request)["_staff_roles"] = known
    return known


def _read_roles(request: HttpRequest) -> dict[int, Role]:
    user = request.user
    if not user.is_active or not user.is_staff:
        return {}
    if user.is_superuser:
        return dict.fromkeys(
            Application.objects.order_by("pk").values_list("pk", flat=True), Role.ADMINISTRATOR
        )
    members = Membership.objects.filter(user_id=user.pk).values_list("application_id", "role")
    return {application: Role(role) for application, role in members}


def enters(request: HttpRequest, power: Power = Power.SEE) -> list[int]:
    """Return the primary keys of the applications in which the person has a power."""
    return [application for application, held in roles(request).items() if power in held.powers]


def may(request: HttpRequest, power: Power, application_id: int | None = None) -> bool:
    """Return whether the person has a power in an application, or in any when none is named."""
    if application_id is None:
        return bool(enters(request, power))
    held = roles(request).get(application_id)
    return held is not None and power in held.powers


def begins(request: HttpRequest) -> bool:
    """Return whether the person runs a hub without any application: the first one is theirs to add."""
    return bool(request.user.is_active and request.user.is_superuser) and not roles(request)


def applications(request: HttpRequest, power: Power = Power.SEE) -> "QuerySet[Application]":
    """Return the applications in which the person has a power."""
    return Application.objects.filter(pk__in=enters(request, power))


def holders(power: Power, application_ids: Collection[int]) -> dict[int, int]:
    """Return how many people have a power in each of some applications; superusers have it in them all. Two queries."""
    users = get_user_model().objects.filter(is_active=True, is_staff=True)
    everywhere = set(users.filter(is_superuser=True).values_list("pk", flat=True))
    found = {key: set(everywhere) for key in application_ids}
    members = Membership.objects.filter(application__in=found, user__in=users.values("pk"))
    for application, user, role in members.values_list("application_id", "user_id", "role"):
        if power in Role(role).powers:
            found[application].add(user)
    return {key: len(people) for key, people in found.items()}
