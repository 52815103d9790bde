"""A canary: a part of the people first, the others when somebody says so, nobody twice."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from campaigns import experimenting, launching, preflight
from campaigns.launching import LaunchError
from campaigns.models import Campaign, CampaignVersion, Experiment, Variant
from delivery import claims, planning
from delivery.log import body as bodies
from delivery.log.store import log_store
from delivery.models import Run
from delivery.snapshot import WHOLE, Share
from devices.models import Application, Role, Subscriber
from notifyhub import dashboard
from tests.admin_world import member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture(autouse=True)
def no_pauses(settings: Any) -> None:
    settings.PAGE_PAUSE_MS = 0


def everybody(application: Application) -> None:
    Subscriber.objects.bulk_create(
        Subscriber(application=application, external_id=f"p{number}") for number in range(300)
    )


@pytest.fixture
def launched(application: Application) -> CampaignVersion:
    everybody(application)
    made = Campaign.objects.create(application=application, name="Careful", title="Hi")
    launching.launch(made, by="eve", canary=10)
    return CampaignVersion.objects.get()


def told(run: Run) -> set[str]:
    """Plan a run's pages, and return the people who have an entry of it."""
    return set(titles(run))


def titles(run: Run) -> dict[str, str]:
    """Plan a run's pages, and return what the people who have an entry of it read."""
    while page := claims.claim_page(run.lane, "test"):
        planning.work_page(page)
    found = {}
    for subscriber, _ in log_store().identities(run.uid):
        [entry] = [one for one in log_store().newest(subscriber, before=None, limit=9) if one.run == run.uid]
        found[str(subscriber)] = bodies.decode(entry.body).content.title
    return found


def test_shares_part_an_audience_evenly_and_without_overlap() -> None:
    people = [uuid4().bytes for _ in range(20_000)]
    parts = [Share(0, 100, "a"), Share(100, 5_000, "a"), Share(5_000, WHOLE, "a")]
    found = Counter(sum(part.holds(one) for part in parts) for one in people)
    assert found == {1: 20_000}
    assert 120 < sum(parts[0].holds(one) for one in people) < 300
    assert [Share(0, 100, "b").holds(one) for one in people] != [parts[0].holds(one) for one in people]


def test_the_others_wait_for_a_decision_and_nobody_is_told_twice(launched: CampaignVersion) -> None:
    first = told(Run.objects.get())
    assert 10 <= len(first) <= 55 and launched.canary_state == "waiting"
    Run.objects.update(state="done")
    assert launching.end_finished() == 0
    rest = told(launching.go_on(launched, by="eve"))
    assert not first & rest and len(first | rest) == 300
    Run.objects.update(state="done")
    assert launching.end_finished() == 1


def test_the_dashboard_says_that_it_waits(launched: CampaignVersion) -> None:
    since = timezone.now() - timedelta(days=1)
    here = [launched.campaign.application_id]
    [(said, path, _)] = dashboard.trouble(here, since)
    assert said == "“Careful” has told its canary and waits: go on, or stop it."
    assert path == reverse("admin:campaigns_campaign_preflight", args=[launched.campaign_id])
    launching.go_on(launched, by="eve")
    assert dashboard.trouble(here, since) == []


def test_two_who_press_at_once_tell_the_others_once(launched: CampaignVersion) -> None:
    again = CampaignVersion.objects.get()
    launching.go_on(launched, by="eve")
    with pytest.raises(LaunchError, match="somebody has decided already"):
        launching.go_on(again, by="otto")
    with pytest.raises(LaunchError, match="somebody has decided already"):
        launching.stop_canary(again, by="otto")
    assert Run.objects.count() == 2


def test_a_canary_that_is_stopped_tells_nobody_else(launched: CampaignVersion) -> None:
    launching.stop_canary(launched, by="eve")
    assert Run.objects.get().state == "cancelled"
    assert launching.end_finished() == 1


def test_what_came_of_it_counts_only_its_own_people(launched: CampaignVersion) -> None:
    share = launching.canary_share(launched)
    inside = [one for one in Subscriber.objects.all() if share.holds(one.uid.bytes)]
    outside = [one for one in Subscriber.objects.all() if not share.holds(one.uid.bytes)]
    for one in (inside[0], outside[0], outside[1]):
        Subscriber.objects.filter(pk=one.pk).update(consent=False, consent_at=timezone.now())
    found = preflight.canary_of(launched.campaign)
    assert found is not None and found.opted_out == 1 and found.failed_share == 0


def test_a_fifth_tries_the_variants_and_the_others_are_told_the_winner(application: Application) -> None:
    everybody(application)
    made = Campaign.objects.create(application=application, name="Two ways", title="Sale")
    trial = Experiment.objects.create(application=application, campaign=made, control=10)
    for key, title in (("A", ""), ("B", "20 % off")):
        Variant.objects.create(experiment=trial, key=key, title=title)
    launching.launch(made, by="eve", canary=20)
    first = titles(Run.objects.get())
    assert 30 <= len(first) <= 80 and {"Sale", "20 % off"} == set(first.values())
    found = preflight.canary_of(made)
    assert found is not None and (found.experiment, found.winner) == (trial, "")
    experimenting.choose(trial, "B", by="eve")
    found = preflight.canary_of(made)
    assert found is not None and (found.experiment, found.winner) == (trial, "B")
    rest = titles(launching.go_on(launching.waiting_canary(made), by="eve"))
    assert set(rest.values()) == {"20 % off"} and not first.keys() & rest.keys()
    assert 240 <= len(first) + len(rest) <= 290, (
        "the control group is told nothing, of the first or of the others"
    )


@pytest.mark.parametrize("share", [-1, 51, 100])
def test_more_than_half_or_less_than_nobody_is_no_canary(application: Application, share: int) -> None:
    made = Campaign.objects.create(application=application, name="Bold", title="Hi")
    with pytest.raises(LaunchError, match="from 1 to 50") as refused:
        launching.launch(made, by="eve", canary=share)
    assert refused.value.field == "canary" and not Run.objects.exists()


def test_a_recurring_campaign_has_none(application: Application) -> None:
    made = Campaign.objects.create(application=application, name="Daily", title="Hi", repeat="0 9 * * *")
    with pytest.raises(LaunchError, match="no canary"):
        launching.launch(made, by="eve", canary=1)


@pytest.mark.parametrize("speaks", ["en", "ja"])
def test_its_run_is_called_in_the_language_of_whoever_looks(application: Application, speaks: str) -> None:
    everybody(application)
    made = Campaign.objects.create(application=application, name="Careful", title="Hi")
    with override(speaks):  # the clock's, or that of whoever launches
        launching.launch(made, by="eve", canary=10)
    run = Run.objects.get()
    assert run.title == "Careful: first 10%"
    with override("de"):
        assert str(run) == "Careful: die ersten 10 %"
    reader = member("ada", application, Role.VIEWER)
    client = Client()
    client.force_login(reader)
    for page in ("admin:delivery_run_changelist", "admin:index"):
        shown = client.get(reverse(page), headers={"accept-language": "de"}).content.decode()
        assert "Careful: die ersten 10 %" in shown and "Careful: first" not in shown


def test_a_campaign_may_be_called_what_it_likes(application: Application) -> None:
    with override("de"):
        assert str(Run(title="Careful: first come, first served")) == "Careful: first come, first served"
