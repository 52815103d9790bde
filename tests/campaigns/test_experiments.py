"""Experiments of campaigns: what is refused, what a launch freezes, and when there is a winner."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from campaigns import experimenting, launching, preflight
from campaigns.models import Campaign, EventType, Experiment, Variant
from delivery import experiments
from delivery.models import Page, Run, Tally, WorkState
from delivery.statistics import Arm, decide
from devices import audit
from devices.models import Application, Role
from tests.admin_world import member
from tests.api_world import World, make_world

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def shop() -> World:
    return make_world("shop")


def tried(shop: World, **values: Any) -> Experiment:
    fields = {"goal": shop.event_type, **values}
    made = Experiment.objects.create(application=shop.application, campaign=shop.campaign, **fields)
    Variant.objects.create(experiment=made, key="A")
    Variant.objects.create(experiment=made, key="B", title="Other", weight=3)
    return made


def launched(campaign: Campaign) -> Run:
    run = launching.launch(campaign, by="x")
    assert isinstance(run, Run)
    return run


def reached(run: Run, told: dict[str, int], opened: dict[str, int]) -> None:
    """Let a run have told and been opened by so many people of each variant."""
    Page.objects.filter(run=run).update(
        state=WorkState.DONE,
        logged=sum(told.values()),
        spread={"locale": {f"{key}|en": count for key, count in told.items()}},
    )
    for key, count in opened.items():
        Tally.objects.create(
            run=run,
            kind="opened",
            variant=key,
            dimension="platform",
            value="web",
            people=count,
            devices=count,
        )


def test_a_launch_freezes_goal_variants_and_weights(shop: World) -> None:
    made = tried(shop, control=10, goal_hours=2)
    run = launched(shop.campaign)
    frozen = run.snapshot["experiment"]
    assert (frozen["key"], frozen["control"]) == (str(made.uid), 1_000)
    assert [(one["key"], one.get("weight", 1)) for one in frozen["variants"]] == [("A", 1), ("B", 3)]
    assert run.snapshot["goal"] == {"event_type": shop.event_type.name, "seconds": 7200}
    assert run.goal.event_type == shop.event_type.name
    Variant.objects.all().update(weight=50)
    run.refresh_from_db()
    assert run.snapshot["experiment"]["variants"][1]["weight"] == 3


def test_a_goal_alone_and_a_control_group_alone_are_enough(shop: World) -> None:
    made = Experiment.objects.create(
        application=shop.application, campaign=shop.campaign, goal=shop.event_type
    )
    snapshot = launching.snapshot_of(shop.campaign)
    assert snapshot.experiment is None and snapshot.goal is not None
    Experiment.objects.filter(pk=made.pk).update(control=20)
    snapshot = launching.snapshot_of(shop.campaign)
    assert snapshot.experiment is not None and [one.key for one in snapshot.experiment.variants] == ["A"]


def test_a_campaign_without_one_says_what_it_said(shop: World) -> None:
    snapshot = launching.snapshot_of(shop.campaign)
    assert snapshot.goal is None and snapshot.experiment is None


def test_a_variant_that_does_not_render_stands_in_the_way_of_a_launch(shop: World) -> None:
    tried(shop)
    Variant.objects.filter(key="B").update(title="{{ first_name | nonsense }}")
    with pytest.raises(launching.LaunchError, match=r"variant B, en\.title, line 1: unknown") as refused:
        launching.launch(shop.campaign, by="x")
    assert refused.value.field == "experiment"


# -- by the API


DOCUMENT = {
    "goal": "com.example.order.shipped",
    "control": 10,
    "metric": "converted",
    "variants": [{"key": "A"}, {"key": "B", "title": "Other", "weight": 2}],
}


def path(shop: World) -> str:
    return f"campaigns/{shop.campaign.uid}/experiment"


def test_the_api_sets_shows_and_drops_an_experiment(shop: World) -> None:
    assert shop.service("GET", path(shop)).status_code == 404
    answer = shop.service("PUT", path(shop), DOCUMENT)
    assert answer.status_code == 200, answer.content
    shown = shop.service("GET", path(shop)).json()
    assert (shown["goal"], shown["control"], shown["goal_hours"]) == (DOCUMENT["goal"], 10, 24)
    assert [(one["key"], one["weight"], one["title"]) for one in shown["variants"]] == [
        ("A", 1, ""),
        ("B", 2, "Other"),
    ]
    assert shop.service("PUT", path(shop), {**DOCUMENT, "winner": "B"}).json()["winner"] == "B"
    assert launching.snapshot_of(shop.campaign).experiment.winner == "B"  # type: ignore[union-attr]
    assert shop.service("DELETE", path(shop)).status_code == 204
    assert not Variant.objects.exists()


def test_a_key_that_may_only_read_sets_nothing(shop: World) -> None:
    tried(shop)
    reader = shop.caller("campaigns:read")
    assert reader("GET", path(shop)).status_code == 200
    assert reader("PUT", path(shop), DOCUMENT).status_code == 403


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"goal": None}, "/goal"),
        ({"goal": "com.example.unknown"}, "/goal"),
        ({"control": 51}, "/control"),
        ({"winner": "C"}, "/winner"),
        ({"variants": [{"key": "A"}, {"key": "A"}]}, "/variants"),
        ({"variants": [{"key": "A"}], "control": 0}, "/variants"),
        ({"variants": [{"key": "control"}, {"key": "B"}]}, "/variants/0/key"),
        ({"variants": [{"key": "A"}, {"key": "B", "title": "{{ x"}]}, "/variants"),
        ({"variants": [{"key": str(number)} for number in range(7)]}, "/variants"),
        ({"metrics": "opened"}, "/metrics"),
    ],
)
def test_a_wrong_experiment_is_refused_whole(shop: World, change: dict[str, Any], pointer: str) -> None:
    answer = shop.service("PUT", path(shop), {**DOCUMENT, **change})
    assert answer.status_code == 400, answer.content
    assert any(error["pointer"].startswith(pointer) for error in answer.json()["errors"]), answer.json()
    assert not Experiment.objects.exists()


# -- the winner


def test_the_winner_is_chosen_by_itself_only_with_evidence_and_told_from_then_on(shop: World) -> None:
    made = tried(shop, automatic=True)
    now = timezone.now()
    run = launched(shop.campaign)
    reached(run, {"A": 500, "B": 500}, {"A": 50, "B": 55})
    assert experimenting.decide_due(now) == 0 and Experiment.objects.get().looks == 0  # too early
    assert experimenting.decide_due(now + timedelta(hours=25)) == 0
    made.refresh_from_db()
    assert (made.winner, made.looks) == ("", 1) and "may be chance" in made.because
    assert experimenting.decide_due(now + timedelta(hours=26)) == 0
    assert Experiment.objects.get().looks == 1  # a run is looked at once
    Campaign.objects.update(state=Campaign.State.ENDED)
    shop.campaign.refresh_from_db()
    Run.objects.filter(pk=run.pk).update(created_at=now - timedelta(hours=1))
    again = launched(shop.campaign)
    reached(again, {"A": 5_000, "B": 5_000}, {"A": 500, "B": 800})
    assert experimenting.decide_due(now + timedelta(hours=27)) == 1
    made.refresh_from_db()
    assert made.winner == "B" and made.decided_at is not None
    [told] = audit.of(made)
    assert (told.actor, told.action) == ("clock", "choose_winner") and told.says.startswith("B wins")
    Campaign.objects.update(state=Campaign.State.ENDED)
    shop.campaign.refresh_from_db()
    assert launched(shop.campaign).snapshot["experiment"]["winner"] == "B"


def test_a_version_that_waits_is_told_in_the_words_of_the_winner(shop: World) -> None:
    made = tried(shop)
    shop.campaign.send_at = timezone.now() + timedelta(hours=1)
    shop.campaign.save()
    launching.launch(shop.campaign, by="x")
    experimenting.choose(made, "B", by="ada")
    launching.launch_due(timezone.now() + timedelta(hours=2))
    run = Run.objects.order_by("-pk")[0]
    assert run.snapshot["experiment"]["winner"] == "B"


def test_every_further_look_asks_for_more_evidence() -> None:
    arms = [Arm("A", 1_000, 130), Arm("B", 1_000, 101)]
    assert decide(arms).winner == "A"
    assert not decide(arms, look=1).winner
    strong = [Arm("A", 10_000, 1_300), Arm("B", 10_000, 1_000)]
    assert decide(strong, look=10).winner == "A"


def test_an_approver_chooses_the_winner_and_an_editor_does_not(shop: World) -> None:
    made = tried(shop)
    address = reverse("admin:campaigns_experiment_choose_winner", args=[made.pk])
    for role, expected in ((Role.MARKETER, ""), (Role.APPROVER, "B")):
        client = Client()
        client.force_login(member(f"a-{role}", shop.application, role))
        client.post(address, {"winner": "B"})
        made.refresh_from_db()
        assert made.winner == expected
    assert client.get(address).status_code == 200
    client.post(address, {"winner": "C"})
    made.refresh_from_db()
    assert made.winner == "B"


# -- the page


def save(client: Client, shop: World, **values: Any) -> Any:
    rows = values.pop("rows", [("A", ""), ("B", "Other")])
    fields = {
        "campaign": shop.campaign.pk,
        "goal": "",
        "goal_hours": 24,
        "metric": "opened",
        "control": 0,
        "decide_hours": 24,
        "variants-TOTAL_FORMS": len(rows),
        "variants-INITIAL_FORMS": 0,
    }
    for at, (key, title) in enumerate(rows):
        row = {"key": key, "title": title, "weight": 1, "body": "", "locales-rows": "1"}
        fields |= {f"variants-{at}-{name}": value for name, value in row.items()}
    return client.post(reverse("admin:campaigns_experiment_add"), {**fields, **values}, follow=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"metric": "converted"}, "choose the event that is the goal"),
        ({"rows": [("A", "")]}, "compared with nothing"),
        ({"rows": []}, "Add two variants, a control group or a goal"),
        ({"rows": [("control", ""), ("B", "")]}, "told nothing; choose another name"),
        ({"control": 60}, "less than or equal to 50"),
        ({"rows": [("A", ""), ("B", "{% if %}")]}, "title, line 1: "),
        ({"variants-1-locales-0-tag": "deutsch!", "variants-1-locales-0-title": "Hallo"}, "as de or pt-BR"),
        (
            {"variants-1-locales-0-tag": "", "variants-1-locales-0-title": "Hallo"},
            "which language “Hallo” is",
        ),
        ({"variants-1-locales-3-tag": "de", "variants-1-locales-3-body": "{{ x | y }}"}, "de.body, line 1: "),
        ({"variants-1-link": "{{ x | y }}"}, "link, line 1: "),
        ({"variants-1-image": "http://example.com/a.png"}, "image: "),
    ],
)
def test_a_wrong_experiment_is_refused_beside_its_field(
    shop: World, values: dict[str, Any], said: str
) -> None:
    client = Client()
    client.force_login(member("ed", shop.application, Role.MARKETER))
    assert said in save(client, shop, **values).content.decode()
    assert not Experiment.objects.exists()


def test_an_editor_makes_an_experiment(shop: World) -> None:
    client = Client()
    client.force_login(member("ed", shop.application, Role.MARKETER))
    save(client, shop, goal=shop.event_type.pk, control=5)
    made = Experiment.objects.get()
    assert made.application == shop.application and made.variants.count() == 2


def test_a_variant_says_it_in_other_languages(shop: World) -> None:
    client = Client()
    client.force_login(member("ed", shop.application, Role.MARKETER))
    german = {"variants-1-locales-0-tag": "de", "variants-1-locales-0-title": "Nur für dich"}
    save(client, shop, **german)
    made = Experiment.objects.get()
    assert made.variants.get(key="B").locales == {"de": {"title": "Nur für dich"}}
    page = client.get(reverse("admin:campaigns_experiment_change", args=[made.pk])).content.decode()
    assert 'name="variants-1-locales-0-title" value="Nur für dich"' in page
    viewer = Client()
    viewer.force_login(member("vi", shop.application, Role.VIEWER))
    seen = viewer.get(reverse("admin:campaigns_experiment_change", args=[made.pk]))
    assert seen.status_code == 200 and 'name="variants-1-title' not in seen.content.decode()


def test_a_variant_may_differ_in_its_picture_and_its_link(shop: World) -> None:
    client = Client()
    client.force_login(member("ed", shop.application, Role.MARKETER))
    other = {"image": "https://example.com/b.png", "link": "https://example.com/b", "subtitle": "Today only"}
    save(
        client,
        shop,
        **{f"variants-1-{name}": value for name, value in other.items()},
        rows=[("A", ""), ("B", "")],
    )
    snapshot = launching.snapshot_of(shop.campaign)
    first, second = (experiments.told(snapshot, key).texts["en"] for key in ("A", "B"))
    assert first == snapshot.texts["en"]
    assert {name: getattr(second, name) for name in other} == other
    assert (second.title, second.body) == (first.title, first.body)


def test_a_variants_text_is_looked_at_before_the_launch_too(shop: World) -> None:
    made = tried(shop)
    made.variants.filter(key="B").update(title="<b>Now</b>", locales={"de": {"title": "<b>Jetzt</b>"}})
    warnings = [one.text for one in preflight.look(shop.campaign).warnings]
    said = [one for one in warnings if "HTML" in one]
    assert [one.partition(":")[0] for one in said] == ["variant B, title", "variant B, locales, de.title"]


def test_the_goal_cannot_be_another_applications_event(shop: World) -> None:
    other = Application.objects.create(slug="other", name="Other")
    theirs = EventType.objects.create(application=other, name="com.example.theirs")
    client = Client()
    client.force_login(member("ed", shop.application, Role.MARKETER))
    save(client, shop, goal=theirs.pk)
    assert not Experiment.objects.exists()


def test_the_same_people_told_again_are_no_new_evidence(shop: World) -> None:
    made = tried(shop)
    runs = []
    for _ in range(5):
        run = launched(shop.campaign)
        reached(run, {"A": 500, "B": 500}, {"A": 50, "B": 65})
        runs.append(run)
        Campaign.objects.update(state=Campaign.State.ENDED)
        shop.campaign.refresh_from_db()
    # as five times as many people it would be evidence
    assert decide([Arm("A", 2_500, 250), Arm("B", 2_500, 325)]).winner == "B"
    arms = experimenting.pooled(made, runs)
    assert arms == [Arm("A", 500, 50), Arm("B", 500, 65)] and not decide(arms).winner


def test_a_recurring_campaign_finds_its_winner_and_tells_it_from_its_next_time_on(shop: World) -> None:
    made = tried(shop, automatic=True)
    Campaign.objects.update(repeat="0 9 * * *")
    shop.campaign.refresh_from_db()
    launching.launch(shop.campaign, by="x")
    now = timezone.now()
    first = now + timedelta(days=1, hours=1)
    assert launching.launch_due(first) == 1
    run = Run.objects.order_by("-pk")[0]
    assert "winner" not in run.snapshot["experiment"]
    reached(run, {"A": 5_000, "B": 5_000}, {"A": 500, "B": 800})
    assert experimenting.decide_due(now + timedelta(hours=25)) == 1
    made.refresh_from_db()
    assert made.winner == "B"
    assert launching.launch_due(first + timedelta(days=1)) == 1
    assert Run.objects.order_by("-pk")[0].snapshot["experiment"]["winner"] == "B"


def test_a_campaign_and_its_experiment_lead_to_each_other(shop: World) -> None:
    client = Client()
    client.force_login(member("ada", shop.application, Role.MARKETER))
    page = reverse("admin:campaigns_campaign_change", args=[shop.campaign.pk])
    add = f"{reverse('admin:campaigns_experiment_add')}?campaign={shop.campaign.pk}"
    assert add in client.get(page).content.decode()
    made = tried(shop)
    its = reverse("admin:campaigns_experiment_change", args=[made.pk])
    assert its in client.get(page).content.decode()
    assert page in client.get(its).content.decode()
