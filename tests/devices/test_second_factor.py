"""The staff's second factor: set up, shown, used up, lost, and asked for before what reaches people."""

import re
import time
from binascii import unhexlify
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP

from campaigns.models import Campaign
from devices import second_factor
from devices.admin import second_factor as second_factor_page
from devices.models import Membership, Role, SecondFactor
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])
PAGE = "/admin/devices/membership/second-factor/"


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, which is set by hand."""
    at = [time.time()]
    monkeypatch.setattr("devices.models.second_factor.time.time", lambda: at[0])
    return at


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def code_of(factor: SecondFactor, at: float) -> str:
    totp = TOTP(unhexlify(factor.secret))
    totp.time = at
    return f"{totp.token():06d}"


def set_up(client: Client, at: float) -> list[str]:
    """Set the person's second factor up; return the recovery codes."""
    page = client.get(PAGE).content.decode()
    factor = SecondFactor.objects.get(user_id=client.session["_auth_user_id"])
    assert second_factor.secret_of(factor) in page and "data:image/svg+xml" in page
    page = client.post(PAGE, {"code": code_of(factor, at)}).content.decode()
    return re.findall(r"[A-Z0-9]{5}-[A-Z0-9]{5}", page)


def test_it_is_set_up_by_a_code_and_shows_its_recovery_codes_once(meadow: World, now: list[float]) -> None:
    client = signed_in(member("anton", meadow.application, Role.APPROVER))
    codes = set_up(client, now[0])
    assert len(set(codes)) == 10
    again = client.get(PAGE).content.decode()
    assert codes[0] not in again and "10 recovery codes are left" in again
    factor = SecondFactor.objects.get()
    assert factor.confirmed and not any(code.replace("-", "") in str(factor.recovery) for code in codes)


def test_the_steps_of_setting_it_up_are_numbered(meadow: World) -> None:
    page = signed_in(meadow.of(Membership).user).get(PAGE).content.decode()
    assert '<ol class="nh-steps' in page
    sheets = [finders.find(name) for name in re.findall(r'href="/static/([^"]+/[^"]+\.css)"', page)]
    styles = "".join(Path(sheet).read_text() for sheet in sheets if sheet)
    assert re.search(r"\.nh-steps \{[^}]*list-style: decimal", styles)


def test_a_wrong_code_sets_up_nothing_and_the_next_one_waits(meadow: World, now: list[float]) -> None:
    client = signed_in(member("anton", meadow.application, Role.APPROVER))
    client.get(PAGE)
    factor = SecondFactor.objects.get()
    right = code_of(factor, now[0])
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for _ in range(3):
        SecondFactor.objects.update(throttling_failure_timestamp=None)
        page = client.post(PAGE, {"code": wrong}).content.decode()
    assert "After so many wrong ones" in page
    client.post(PAGE, {"code": right})
    factor.refresh_from_db()
    assert not factor.confirmed


def test_the_secret_stands_encrypted_in_the_database(meadow: World, django_assert_num_queries: Any) -> None:
    from django.db import connection

    factor = SecondFactor.objects.create(user=member("anton", meadow.application, Role.APPROVER), name="app")
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM devices_secondfactor")
        assert factor.secret not in str(cursor.fetchone())


def test_a_code_counts_once_and_a_recovery_code_too(meadow: World, now: list[float]) -> None:
    user = member("anton", meadow.application, Role.APPROVER)
    codes = set_up(signed_in(user), now[0])
    factor = SecondFactor.objects.get()
    later = signed_in(user)
    assert "Type the six digits" in later.get(PAGE).content.decode()
    assert "not right" in later.post(PAGE, {"code": code_of(factor, now[0])}).content.decode()
    SecondFactor.objects.update(throttling_failure_timestamp=None)
    assert later.post(PAGE, {"code": codes[0].lower()}).status_code == 302
    other = signed_in(user)
    assert "not right" in other.post(PAGE, {"code": codes[0]}).content.decode()
    SecondFactor.objects.update(throttling_failure_timestamp=None)
    now[0] += 60
    assert other.post(f"{PAGE}?next=/admin/", {"code": code_of(factor, now[0])})["Location"] == "/admin/"


def test_it_leads_back_to_pages_of_ours_only(meadow: World, now: list[float]) -> None:
    user = member("anton", meadow.application, Role.APPROVER)
    set_up(signed_in(user), now[0])
    now[0] += 60
    client = signed_in(user)
    answer = client.post(
        f"{PAGE}?next=https://evil.example/", {"code": code_of(SecondFactor.objects.get(), now[0])}
    )
    assert answer["Location"] == PAGE


@pytest.mark.parametrize("button", ["approve", "launch", "go_on"])
def test_what_reaches_people_asks_for_it_first(
    meadow: World, settings: Any, now: list[float], button: str
) -> None:
    settings.SECOND_FACTOR = "required"
    campaign = meadow.of(Campaign)
    user = member("anton", meadow.application, Role.APPROVER)
    client = signed_in(user)
    address = reverse(f"admin:campaigns_campaign_{button}", args=[campaign.pk])
    back = reverse("admin:campaigns_campaign_preflight", args=[campaign.pk])
    assert "you have none" in client.get(back).content.decode()
    answer = client.post(address, follow=True)
    assert answer.redirect_chain == [(second_factor_page.address(back), 302)]
    assert "set up a second factor first" in answer.content.decode()
    state = Campaign.objects.values_list("state", flat=True).get(pk=campaign.pk)
    assert state == campaign.state and not campaign.approvals.exists()
    set_up(client, now[0])
    assert client.post(address)["Location"] != second_factor_page.address(back)


def test_who_has_one_is_asked_for_it_where_it_is_optional_and_again_after_twelve_hours(
    meadow: World, settings: Any, now: list[float]
) -> None:
    settings.SECOND_FACTOR = "optional"
    campaign = meadow.of(Campaign)
    address = reverse("admin:campaigns_campaign_approve", args=[campaign.pk])
    user = member("anton", meadow.application, Role.APPROVER)
    assert PAGE not in signed_in(user).post(address)["Location"]
    client = signed_in(user)
    set_up(client, now[0])
    assert PAGE in signed_in(user).post(address)["Location"], "another session"
    assert PAGE not in client.post(address)["Location"]
    session = client.session
    session[second_factor.SESSION_KEY] -= second_factor.FRESH + 1
    session.save()
    assert PAGE in client.post(address)["Location"]


def test_it_is_removed_only_by_whoever_showed_it(meadow: World, now: list[float]) -> None:
    user = member("anton", meadow.application, Role.APPROVER)
    client = signed_in(user)
    set_up(client, now[0])
    signed_in(user).post(PAGE, {"do": "remove"})
    assert SecondFactor.objects.exists()
    assert (
        len(re.findall(r"[A-Z0-9]{5}-[A-Z0-9]{5}", client.post(PAGE, {"do": "renew"}).content.decode())) == 10
    )
    client.post(PAGE, {"do": "remove"})
    assert not SecondFactor.objects.exists()


@pytest.mark.parametrize(("elsewhere", "reset"), [(False, True), (True, False)])
def test_an_administrator_resets_it_where_all_their_applications_are_theirs(
    meadow: World, now: list[float], elsewhere: bool, reset: bool
) -> None:
    user = member("anton", meadow.application, Role.APPROVER)
    set_up(signed_in(user), now[0])
    if elsewhere:
        Membership.objects.create(user=user, application=build("Harbour").application, role=Role.VIEWER)
    mine = Membership.objects.get(user=user, application=meadow.application)
    address = reverse("admin:devices_membership_reset_second_factor", args=[mine.pk])
    chief = signed_in(meadow.of(Membership).user)
    assert "Make sure that it is they who ask" in chief.get(address).content.decode()
    chief.post(address)
    assert SecondFactor.objects.exists() is not reset


def test_it_is_reset_on_the_command_line(meadow: World, now: list[float], capsys: Any) -> None:
    set_up(signed_in(member("anton", meadow.application, Role.APPROVER)), now[0])
    call_command("reset_second_factor", "anton")
    assert not SecondFactor.objects.exists()
    with pytest.raises(CommandError, match="No account “anton” with a second factor"):
        call_command("reset_second_factor", "anton")
