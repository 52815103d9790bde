"""What each role may do on every page and with every button of the admin, held against one table."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.test import RequestFactory

from devices.models import Power, Role
from devices.models.application import POWERS
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])

CHANGED_WITH = {
    Power.WRITE: "subscriber category segment campaign eventtype rule schedule testdevice experiment",
    Power.OPERATE: "alertrule",
    Power.MANAGE: "application membership apikey credential",
}
ADDED_WITH = {
    Power.WRITE: f"{CHANGED_WITH[Power.WRITE]} import",
    Power.HALT: "hold",
    Power.OPERATE: "alertrule",
    Power.MANAGE: "membership apikey signingkey credential",
}
DELETED_WITH = {
    Power.WRITE: f"{CHANGED_WITH[Power.WRITE]} device",
    Power.OPERATE: "alertrule",
    Power.MANAGE: "membership apikey signingkey credential",
}
PRESSED_WITH = {
    Power.SEE: "campaign.preflight",
    Power.WRITE: "campaign.submit campaign.test campaign.withdraw campaign.archive device.retire import.stop "
    "segment.export import.refused",
    Power.STOP: "run.pause run.resume run.cancel run.recall campaign.unschedule campaign.stop_canary",
    Power.LAUNCH: "campaign.launch campaign.approve campaign.go_on campaign.end experiment.choose_winner",
    Power.HALT: "hold.resume",
    Power.OPERATE: "run.retire_and_resume page.requeue page.give_up parcel.requeue parcel.give_up gate.open_again "
    "alertrule.test alertrule.new_secret",
    Power.MANAGE: "membership.reset_second_factor apikey.revoke signingkey.retire credential.check_now",
}
"""What is in no list nobody does."""


@pytest.fixture
def world() -> World:
    return build("Zebra")


def holders(table: dict[Power, str], name: str) -> set[Role]:
    needed = [power for power, names in table.items() if name in names.split()]
    assert len(needed) <= 1, name
    return {role for role in Role if needed and needed[0] in role.powers}


def who(world: World, may: Callable[[Any, Any, Any], bool]) -> dict[str, set[Role]]:
    """Return, by model, the roles for whom `may(page, request, object)` is true."""
    found: dict[str, set[Role]] = {}
    for role in Role:
        user = member(f"m-{role}", world.application, role)
        for row in world.rows:
            request = RequestFactory().get("/")
            request.user = user
            page = admin.site._registry[type(row)]
            found.setdefault(str(row._meta.model_name), set())
            if may(page, request, row):
                found[str(row._meta.model_name)].add(role)
    return found


def buttons(offered: Iterable[Any]) -> Iterator[str]:
    """Yield the names of a page's buttons, those in menus too."""
    for one in offered:
        if isinstance(one, dict):
            yield from buttons(one["items"])
        else:
            yield one


@pytest.mark.parametrize(
    ("verb", "table"), [("change", CHANGED_WITH), ("add", ADDED_WITH), ("delete", DELETED_WITH)]
)
def test_who_may_change_add_and_delete(world: World, verb: str, table: dict[Power, str]) -> None:
    def may(page: Any, request: Any, row: Any) -> bool:
        asked = getattr(page, f"has_{verb}_permission")
        return bool(asked(request) if verb == "add" else asked(request, row))

    found = who(world, may)
    assert found == {name: holders(table, name) for name in found}


def test_who_may_press_which_button(world: World) -> None:
    pressed: dict[str, set[Role]] = {}
    for row in world.rows:
        page = admin.site._registry[type(row)]
        for name in buttons(page.actions_detail or []):
            needed = getattr(getattr(type(page), name), "allowed_permissions", [])
            for role in Role:
                pressed.setdefault(f"{row._meta.model_name}.{name}", set())
                request = RequestFactory().get("/")
                request.user = members(world, role)
                if all(getattr(page, f"has_{one}_permission")(request, row) for one in needed):
                    pressed[f"{row._meta.model_name}.{name}"].add(role)
    assert pressed == {name: holders(PRESSED_WITH, name) for name in pressed}
    assert set(pressed) == {name for names in PRESSED_WITH.values() for name in names.split()}


def members(world: World, role: Role) -> Any:
    """Return the member with a role, made when asked for first."""
    found = world.application.memberships.filter(role=role, user__username=f"m-{role}").first()
    return found.user if found else member(f"m-{role}", world.application, role)


def test_every_role_sees_and_an_administrator_may_everything() -> None:
    assert all(Power.SEE in powers for powers in POWERS.values())
    assert POWERS[Role.ADMINISTRATOR] == frozenset(Power)


def test_the_how_to_says_what_each_role_may() -> None:
    text = (Path(__file__).parent.parent / "docs" / "how-to" / "manage-members.md").read_text()
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    head, _, *rows = lines
    said = {
        power: {Role(role) for role, cell in zip(head[1:], cells, strict=True) if cell == "yes"}
        for power, (_, *cells) in zip(Power, rows, strict=True)
    }
    assert said == {power: {role for role in Role if power in role.powers} for power in Power}
