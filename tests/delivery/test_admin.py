"""The admin pages of runs, credentials and gates, used as members of the staff use them."""

import json
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from delivery import checking, credentials, presence, runs
from delivery.models import Credential, Gate, Hold, Page, Parcel, Run, WorkState
from devices.models import Role
from tests.admin_world import World, build, member
from tests.delivery.test_credential_input import P256, account, certificate, pem

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


def sign_in(world: World, role: Role) -> Client:
    client = Client()
    client.force_login(member(f"a-{role}", world.application, role))
    return client


def press(client: Client, button: str, run: Run) -> Any:
    response = client.post(reverse(f"admin:delivery_run_{button}", args=[run.pk]), follow=True)
    run.refresh_from_db()
    return response


# -- runs


@pytest.fixture
def run(meadow: World) -> Run:
    """A run that told 972 of 1,000 and has 226 messages to go."""
    made = Run.objects.create(
        application=meadow.application,
        origin="campaign:x",
        title="Summer sale",
        kind=Run.Kind.AUDIENCE,
        lane="bulk",
        state=Run.State.RUNNING,
        snapshot=meadow.of(Run).snapshot,
    )
    now = time.time()
    work = {"run": made, "application": meadow.application, "lane": "bulk", "due_at": now, "created_at": now}
    page = Page.objects.create(
        **work,
        kind=Page.Kind.SHARD,
        state=WorkState.DONE,
        audience=1000,
        stopped=28,
        logged=972,
        messages=1210,
        no_device=14,
        reasons={"no_consent": 25, "category_off": 3},
    )
    done = {**work, "page": page, "state": WorkState.DONE, "provider": "fcm"}
    Parcel.objects.create(**done, size=970, sent=961, failed=9, reasons={"dead_token": 9})
    Parcel.objects.create(**work, page=page, state=WorkState.WAITING, provider="socket", size=226)
    return made


def test_a_run_shows_both_balances_and_why(meadow: World, run: Run) -> None:
    page = (
        sign_in(meadow, Role.VIEWER).get(reverse("admin:delivery_run_change", args=[run.pk])).content.decode()
    )
    text = " ".join(page.split())
    assert "= 28 stopped + 972 told" in text
    assert "= 984 settled + 226 waiting" in text
    assert "The subscriber wants no notifications." in text and "Dead token" in text
    assert "do not balance" not in text
    assert "FCM is shut" in text and "Meadow reason" in text


def test_the_numbers_renew_themselves_until_the_run_is_over(meadow: World, run: Run) -> None:
    client, address = sign_in(meadow, Role.VIEWER), reverse("admin:delivery_run_numbers", args=[run.pk])
    assert 'data-going="yes"' in client.get(address).content.decode()
    Parcel.objects.filter(run=run).update(state=WorkState.DONE)
    Run.objects.filter(pk=run.pk).update(state=Run.State.DONE)
    assert 'data-going=""' in client.get(address).content.decode()


def test_an_approver_pauses_resumes_and_cancels(meadow: World, run: Run) -> None:
    client = sign_in(meadow, Role.APPROVER)
    press(client, "pause", run)
    assert run.state == Run.State.PAUSED
    press(client, "resume", run)
    assert run.state == Run.State.RUNNING
    press(client, "cancel", run)
    assert (run.state, run.reason) == (Run.State.CANCELLED, "cancelled by a-approver")


def test_a_button_that_comes_too_late_says_so_and_changes_nothing(meadow: World, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(state=Run.State.DONE)
    page = press(sign_in(meadow, Role.APPROVER), "pause", run)
    assert "This run is done" in page.content.decode()
    assert run.state == Run.State.DONE


def test_a_recalled_run_is_cancelled_and_its_nodes_are_told(
    meadow: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(presence, "recall", lambda *named: told.append(named))
    press(sign_in(meadow, Role.APPROVER), "recall", run)
    assert run.recalled_at is not None and run.state == Run.State.CANCELLED
    assert told == [(meadow.application.uid, run.uid)]


@pytest.mark.parametrize("button", ["pause", "cancel", "recall"])
def test_a_viewer_stops_no_run(meadow: World, run: Run, button: str) -> None:
    client = sign_in(meadow, Role.VIEWER)
    assert press(client, button, run).status_code == 403
    assert run.state == Run.State.RUNNING
    page = client.get(reverse("admin:delivery_run_change", args=[run.pk])).content.decode()
    assert reverse(f"admin:delivery_run_{button}", args=[run.pk]) not in page


@pytest.mark.parametrize("button", ["pause", "cancel", "recall"])
def test_looking_at_a_button_does_nothing(meadow: World, run: Run, button: str) -> None:
    page = sign_in(meadow, Role.APPROVER).get(reverse(f"admin:delivery_run_{button}", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == Run.State.RUNNING and "Summer sale" in page.content.decode()


def test_only_work_that_was_given_up_is_listed_as_stuck(meadow: World, run: Run) -> None:
    page = sign_in(meadow, Role.VIEWER).get(reverse("admin:delivery_parcel_changelist"))
    assert page.context["cl"].result_count == 1 and "Meadow error" in page.content.decode()


def test_a_run_that_was_halted_says_why_and_offers_to_retire(meadow: World, run: Run) -> None:
    client = sign_in(meadow, Role.OPERATOR)
    address = reverse("admin:delivery_run_retire_and_resume", args=[run.pk])
    change = reverse("admin:delivery_run_change", args=[run.pk])
    assert address not in client.get(change).content.decode()
    runs.halt(run, "60 of 60 tokens were refused (sender_id_mismatch): check the project.")
    page = client.get(change).content.decode()
    assert address in page and "60 of 60 tokens were refused" in page
    assert "60 of 60" in client.get(reverse("admin:delivery_run_resume", args=[run.pk])).content.decode()
    assert "60 of 60" in client.get(address).content.decode()
    press(client, "retire_and_resume", run)
    assert (run.state, run.brake, run.reason) == (Run.State.RUNNING, Run.Brake.OFF, "")


def test_a_halted_run_is_resumed_with_its_brake_ready(meadow: World, run: Run) -> None:
    runs.halt(run, "60 of 60 tokens were refused.")
    press(sign_in(meadow, Role.APPROVER), "resume", run)
    assert (run.state, run.brake, run.reason) == (Run.State.RUNNING, Run.Brake.READY, "")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MARKETER, Role.APPROVER])
def test_who_may_not_operate_retires_nobody(meadow: World, run: Run, role: Role) -> None:
    runs.halt(run, "60 of 60 tokens were refused.")
    assert press(sign_in(meadow, role), "retire_and_resume", run).status_code == 403
    assert run.state == Run.State.PAUSED


def dead(meadow: World, run: Run) -> tuple[Page, Parcel]:
    """Set a page and a parcel of the run aside."""
    page, parcel = Page.objects.filter(run=run).get(), Parcel.objects.get(run=run, provider="socket")
    for work in (page, parcel):
        type(work).objects.filter(pk=work.pk).update(
            state=WorkState.DEAD, tries=20, error="Traceback…\nValueError: no"
        )
    return page, parcel


def test_an_operator_tries_a_dead_letter_again(meadow: World, run: Run) -> None:
    _, parcel = dead(meadow, run)
    client = sign_in(meadow, Role.OPERATOR)
    address = reverse("admin:delivery_parcel_requeue", args=[parcel.pk])
    assert "ValueError: no" in client.get(address).content.decode()
    assert "is tried again" in client.post(address, follow=True).content.decode()
    parcel.refresh_from_db()
    assert (parcel.state, parcel.tries) == (WorkState.WAITING, 0)


def test_an_operator_tries_many_again_at_once_and_a_marketer_none(meadow: World, run: Run) -> None:
    _, parcel = dead(meadow, run)
    address = reverse("admin:delivery_parcel_changelist")
    chosen = {"action": "requeue_chosen", "_selected_action": [parcel.pk], "index": 0}
    sign_in(meadow, Role.MARKETER).post(address, chosen)
    parcel.refresh_from_db()
    assert parcel.state == WorkState.DEAD
    page = sign_in(meadow, Role.OPERATOR).post(address, chosen, follow=True).content.decode()
    parcel.refresh_from_db()
    assert parcel.state == WorkState.WAITING and "1 of 1 are tried again" in page


def test_an_operator_gives_a_dead_letter_up(meadow: World, run: Run) -> None:
    _, parcel = dead(meadow, run)
    client = sign_in(meadow, Role.OPERATOR)
    page = client.post(reverse("admin:delivery_parcel_give_up", args=[parcel.pk]), follow=True)
    parcel.refresh_from_db()
    assert (parcel.state, parcel.failed) == (WorkState.DONE, 226) and "226 messages" in page.content.decode()
    again = client.post(reverse("admin:delivery_parcel_give_up", args=[parcel.pk]))
    assert again.status_code == 404, "it stands in the list no more"


@pytest.mark.parametrize("button", ["requeue", "give_up"])
def test_a_marketer_does_nothing_to_dead_letters(meadow: World, run: Run, button: str) -> None:
    page, _ = dead(meadow, run)
    address = reverse(f"admin:delivery_page_{button}", args=[page.pk])
    assert sign_in(meadow, Role.MARKETER).post(address).status_code == 403


# -- stops


def test_one_button_stops_an_application_and_another_lets_it_go_on(meadow: World) -> None:
    Hold.objects.all().delete()
    client = sign_in(meadow, Role.APPROVER)
    shown = reverse("admin:devices_application_change", args=[meadow.application.pk])
    stop = reverse("admin:delivery_hold_stop", args=[meadow.application.pk])
    assert stop in client.get(shown).content.decode()
    assert "Stop everything that Meadow app sends?" in client.get(stop).content.decode()
    assert not Hold.objects.exists(), "looking does nothing"
    page = client.post(stop, follow=True).content.decode()
    hold = Hold.objects.get()
    assert (hold.lane, hold.by) == ("", "a-approver") and "Everything is stopped" in page
    client.post(reverse("admin:delivery_hold_resume", args=[hold.pk]))
    assert not Hold.objects.exists()


def test_one_lane_is_stopped_by_the_form(meadow: World) -> None:
    client = sign_in(meadow, Role.APPROVER)
    client.post(reverse("admin:delivery_hold_add"), {"lane": "bulk", "reason": "wrong price"})
    hold = Hold.objects.get(lane="bulk")
    assert (hold.application, hold.by, hold.reason) == (meadow.application, "a-approver", "wrong price")


def test_resuming_one_lane_leaves_the_others_stopped(meadow: World) -> None:
    everything = Hold.objects.create(application=meadow.application)
    client = sign_in(meadow, Role.APPROVER)
    client.post(reverse("admin:delivery_hold_resume", args=[everything.pk]))
    assert Hold.objects.get() == meadow.of(Hold)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MARKETER])
def test_who_may_not_stop_an_application_is_refused_and_sees_no_button(meadow: World, role: Role) -> None:
    Hold.objects.all().delete()
    client = sign_in(meadow, role)
    stop = reverse("admin:delivery_hold_stop", args=[meadow.application.pk])
    assert client.post(stop).status_code == 404
    assert client.post(reverse("admin:delivery_hold_add"), {"lane": ""}).status_code == 403
    shown = reverse("admin:devices_application_change", args=[meadow.application.pk])
    for address in (shown, reverse("admin:index")):
        assert stop not in client.get(address).content.decode()
    assert not Hold.objects.exists()


def test_nobody_stops_another_application(meadow: World) -> None:
    harbour = build("Harbour")
    Hold.objects.all().delete()
    client = sign_in(meadow, Role.ADMINISTRATOR)
    assert client.post(reverse("admin:delivery_hold_stop", args=[harbour.application.pk])).status_code == 404
    client.post(reverse("admin:delivery_hold_add"), {"application": harbour.application.pk, "lane": ""})
    assert not Hold.objects.filter(application=harbour.application).exists()


# -- credentials


def fcm(**changes: Any) -> dict[str, Any]:
    return {"provider": "fcm", "service_account": account(), **changes}


def apns(**changes: Any) -> dict[str, Any]:
    whole = {"provider": "apns", "private_key": pem(P256), "key_id": "AB12CD34EF", "team_id": "AB12CD34EG"}
    return {**whole, "topic": "com.example.app", **changes}


def save(client: Client, posted: dict[str, Any], credential: Credential | None = None) -> Any:
    where = "change" if credential else "add"
    address = reverse(f"admin:delivery_credential_{where}", args=[credential.pk] if credential else [])
    return client.post(address, posted, follow=True)


def errors(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.context["adminform"].form.errors.as_json())
    return found


def test_fcm_credentials_are_stored_and_never_shown_again(meadow: World) -> None:
    client = sign_in(meadow, Role.ADMINISTRATOR)
    page = save(client, fcm())
    stored = Credential.objects.get(application=meadow.application, provider="fcm")
    assert stored.secret["service_account"]["project_id"] == "shop" and len(stored.fingerprint) == 16
    again = client.get(reverse("admin:delivery_credential_change", args=[stored.pk])).content.decode()
    for text in (page.content.decode(), again):
        assert "PRIVATE KEY" not in text and "push@shop" not in text
    assert stored.fingerprint in again


def test_saving_new_credentials_opens_the_gate(meadow: World) -> None:
    save(sign_in(meadow, Role.ADMINISTRATOR), fcm())
    assert meadow.of(Gate).__class__.objects.get(pk=meadow.of(Gate).pk).state == Gate.State.OPEN


def test_an_empty_secret_keeps_the_stored_one(meadow: World) -> None:
    stored = meadow.of(Credential)
    save(
        sign_in(meadow, Role.ADMINISTRATOR), apns(private_key="", key_id="ZZ12CD34EF", stands_in="on"), stored
    )
    stored.refresh_from_db()
    assert stored.secret["private_key"] == "Meadow-pem-secret" and stored.secret["key_id"] == "ZZ12CD34EF"
    assert stored.stands_in and stored.settings == {"topic": "com.example.app"}


@pytest.mark.parametrize(
    ("posted", "field", "said"),
    [
        (fcm(service_account="hello"), "service_account", "This is not JSON"),
        (fcm(service_account=""), "service_account", "This is needed."),
        (fcm(service_account=account(private_key=None)), "service_account", "has no private_key"),
        (fcm(service_account=account(private_key="x")), "service_account", "no PEM private key"),
    ],
)
def test_wrong_fcm_credentials_are_refused_beside_the_field(
    meadow: World, posted: dict[str, Any], field: str, said: str
) -> None:
    found = errors(save(sign_in(meadow, Role.ADMINISTRATOR), posted))
    assert list(found) == [field] and said in found[field][0]["message"]


@pytest.mark.parametrize(
    ("posted", "field", "said"),
    [
        (apns(private_key="x"), "private_key", "no PEM private key"),
        (apns(key_id="1"), "key_id", "ten capital letters and digits"),
        (apns(team_id=""), "team_id", "This is needed."),
        (apns(topic="a b"), "topic", "bundle id"),
    ],
)
def test_wrong_apns_credentials_are_refused_beside_the_field(
    meadow: World, posted: dict[str, Any], field: str, said: str
) -> None:
    found = errors(save(sign_in(meadow, Role.ADMINISTRATOR), posted, meadow.of(Credential)))
    assert list(found) == [field] and said in found[field][0]["message"]


def test_what_was_pasted_does_not_come_back_with_an_error(meadow: World) -> None:
    page = save(sign_in(meadow, Role.ADMINISTRATOR), apns(key_id="1"), meadow.of(Credential)).content.decode()
    assert "ten capital letters" in page and pem(P256)[40:80] not in page


def test_two_credentials_for_a_provider_are_taken_and_a_third_is_refused(meadow: World) -> None:
    client = sign_in(meadow, Role.ADMINISTRATOR)
    save(client, apns())
    assert Credential.objects.filter(application=meadow.application, provider="apns").count() == 2
    found = errors(save(client, apns(key_id="ZZ12CD34EF")))
    assert "delete one of them first" in found["__all__"][0]["message"]


def test_a_web_push_key_is_made_by_the_hub_and_only_its_public_half_is_shown(meadow: World) -> None:
    client = sign_in(meadow, Role.ADMINISTRATOR)
    save(client, {"provider": "webpush", "subject": "mailto:push@example.com"})
    stored = Credential.objects.get(application=meadow.application, provider="webpush")
    page = client.get(reverse("admin:delivery_credential_change", args=[stored.pk])).content.decode()
    assert credentials.public_key(stored) in page and "PRIVATE KEY" not in page
    assert "subject" in errors(save(client, {"provider": "webpush", "subject": "x"}, stored))


def test_a_new_secret_is_good_again(meadow: World) -> None:
    stored = meadow.of(Credential)
    Credential.objects.filter(pk=stored.pk).update(refused_at=timezone.now(), refused_reason="bad")
    save(sign_in(meadow, Role.ADMINISTRATOR), apns(), stored)
    stored.refresh_from_db()
    assert (stored.refused_at, stored.refused_reason) == (None, "")


def test_a_certificate_says_itself_when_it_ends(meadow: World) -> None:
    whole = {"provider": "apns", "certificate": pem(P256) + certificate()}
    save(sign_in(meadow, Role.ADMINISTRATOR), whole)
    stored = Credential.objects.get(application=meadow.application, provider="apns", slot=2)
    assert stored.expires_at is not None and stored.settings == {"topic": "com.example.app"}


def test_only_administrators_write_credentials(meadow: World) -> None:
    client = sign_in(meadow, Role.APPROVER)
    assert save(client, fcm()).status_code == 403
    assert save(client, apns(), meadow.of(Credential)).status_code == 403


def test_a_quota_is_kept_with_the_credentials_and_can_be_taken_back(meadow: World) -> None:
    client, stored = sign_in(meadow, Role.ADMINISTRATOR), meadow.of(Credential)
    save(client, apns(private_key="", per_minute="9000"), stored)
    stored.refresh_from_db()
    assert stored.settings == {"topic": "com.example.app", "per_minute": 9000}
    address = reverse("admin:delivery_credential_change", args=[stored.pk])
    assert 'value="9000"' in client.get(address).content.decode()
    save(client, apns(private_key="", per_minute=""), stored)
    stored.refresh_from_db()
    assert stored.settings == {"topic": "com.example.app"}
    assert "per_minute" in errors(save(client, apns(private_key="", per_minute="-1"), stored))


@pytest.mark.parametrize("accepted", [True, False])
def test_an_owner_checks_credentials_now(
    meadow: World, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def check(stored: Credential) -> checking.Checked:
        asked.append(stored)
        return checking.Checked(accepted, "code", "What the provider said.")

    monkeypatch.setattr(checking, "check", check)
    stored, client = meadow.of(Credential), sign_in(meadow, Role.ADMINISTRATOR)
    address = reverse("admin:delivery_credential_check_now", args=[stored.pk])
    assert "Nothing reaches a device" in client.get(address).content.decode()
    assert asked == []
    assert "What the provider said." in client.post(address, follow=True).content.decode()
    assert asked == [stored]


def test_who_may_not_write_credentials_does_not_check_them(meadow: World) -> None:
    address = reverse("admin:delivery_credential_check_now", args=[meadow.of(Credential).pk])
    assert sign_in(meadow, Role.APPROVER).post(address).status_code == 403


# -- gates


def test_a_slowed_gate_shows_as_open_when_its_time_is_over(meadow: World) -> None:
    gate = meadow.of(Gate)
    Gate.objects.filter(pk=gate.pk).update(state=Gate.State.SLOWED, until=timezone.now())
    client = sign_in(meadow, Role.APPROVER)
    page = client.get(reverse("admin:delivery_gate_changelist")).content.decode()
    assert "Open" in page and ">Slowed<" not in page
    change = client.get(reverse("admin:delivery_gate_change", args=[gate.pk])).content.decode()
    assert reverse("admin:delivery_gate_open_again", args=[gate.pk]) not in change
    assert "500" in change, "how many requests may be under way"


def test_an_operator_opens_a_gate_again(meadow: World) -> None:
    gate = meadow.of(Gate)
    address = reverse("admin:delivery_gate_open_again", args=[gate.pk])
    client = sign_in(meadow, Role.OPERATOR)
    assert "Meadow reason" in client.get(address).content.decode()
    client.post(address)
    gate.refresh_from_db()
    assert (gate.state, gate.reason) == (Gate.State.OPEN, "")


def test_a_marketer_opens_no_gate(meadow: World) -> None:
    gate = meadow.of(Gate)
    address = reverse("admin:delivery_gate_open_again", args=[gate.pk])
    assert sign_in(meadow, Role.MARKETER).post(address).status_code == 403
