"""The pages of reports: for members of the application, with a table behind each picture, and as CSV."""

import csv
import io
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from delivery import charts
from delivery.models import Page, Run, Tally, WorkState
from delivery.snapshot import Experiment, Goal, Snapshot, Text, Variant, to_json
from devices.models import Membership, Role
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


@pytest.fixture
def run(meadow: World) -> Run:
    """A run with an experiment whose variant B is ahead beyond chance."""
    found: Run = meadow.of(Run)
    trial = Experiment("x", [Variant("A"), Variant("B")], control=1_000, metric="converted")
    found.snapshot = to_json(
        Snapshot(texts={"en": Text(title="Hi")}, experiment=trial, goal=Goal("com.example.bought", 7200))
    )
    found.save()
    Page.objects.filter(run=found).update(
        state=WorkState.DONE,
        audience=4_400,
        stopped=400,
        logged=4_000,
        messages=4_000,
        reasons={"control_group": 400},
        spread={
            "locale": {"A|en": 2_000, "B|en": 1_500, "B|de": 500},
            "platform": {"A|web": 2_000, "B|tv": 2_000},
        },
    )
    hour = int(time.time() // 3600)
    for kind, variant, people in (
        ("opened", "A", 300),
        ("opened", "B", 500),
        ("converted", "A", 100),
        ("converted", "B", 200),
        ("converted", "control", 10),
    ):
        for dimension, value in (("platform", "web"), ("locale", "en"), ("hour", str(hour))):
            Tally.objects.create(
                run=found,
                kind=kind,
                variant=variant,
                dimension=dimension,
                value=value,
                people=people,
                devices=people,
            )
    return found


def viewer(world: World) -> Client:
    client = Client()
    client.force_login(member("a-viewer", world.application, Role.VIEWER))
    return client


def test_a_report_has_definitions_pictures_and_their_tables(meadow: World, run: Run) -> None:
    page = " ".join(
        viewer(meadow).get(reverse("admin:delivery_run_report", args=[run.pk])).content.decode().split()
    )
    for said in (
        "People who tapped or clicked it, as a device said.",
        "Which platforms report what",
        "within 2 hours after they were told",
        "800 · 20.0%",
        "B wins: the 95% interval",
        "10.0% (8.8% … 11.4%)",
        "2.5% (1.4% … 4.5%)",
        "+300.0%",
    ):
        assert said in page, said
    columns = ["Told", "Delivered", "Displayed", "Opened", "Dismissed", "Converted"]
    heads = "".join(f'<th scope="col" class="nh-n">{one}</th>' for one in columns)
    assert f'<th scope="col">Language</th>{heads}' in page and f'<th scope="col">Variant</th>{heads}' in page
    assert page.count("<svg viewBox") >= 4 and page.count('role="img" aria-label="') >= 4


def test_what_a_control_group_did_is_in_no_stage(meadow: World, run: Run) -> None:
    report = viewer(meadow).get(reverse("admin:delivery_run_report", args=[run.pk])).context["report"]
    assert {stage.name: stage.people for stage in report.funnel}["converted"] == 300


def test_a_run_nobody_answered_says_where_receipts_come_from(meadow: World) -> None:
    page = viewer(meadow).get(reverse("admin:delivery_run_report", args=[meadow.of(Run).pk]))
    assert "No device has said anything yet" in page.content.decode()


def test_the_table_to_download_reads_as_a_spreadsheet_and_holds_no_formula(meadow: World, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(title="=HYPERLINK(1)")
    answer = viewer(meadow).get(reverse("admin:delivery_run_report_csv", args=[run.pk]))
    assert answer["Content-Disposition"].startswith("attachment; filename=")
    text = answer.content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["title"] for row in rows} == {"'=HYPERLINK(1)"}
    whole = rows[0]
    assert (whole["told"], whole["opened"], whole["converted"]) == ("4000", "800", "300")
    assert {(row["dimension"], row["value"]): row["opened"] for row in rows}[("variant", "B")] == "500"


def test_runs_of_others_are_not_compared(meadow: World, run: Run) -> None:
    harbour = build("Harbour")
    address = reverse("admin:delivery_run_compare") + f"?run={run.pk}&run={harbour.of(Run).pk}&run=x&run=9999"
    shown = viewer(meadow).get(address)
    assert [one.run.pk for one in shown.context["compared"]] == [run.pk]
    assert "Harbour" not in shown.content.decode()
    stranger = Client()
    stranger.force_login(harbour.of(Membership).user)
    assert "Meadow" not in stranger.get(address).content.decode()


def test_without_runs_the_comparison_says_how_to_choose_them(meadow: World) -> None:
    assert "Choose up to 6 runs" in viewer(meadow).get(reverse("admin:delivery_run_compare")).content.decode()


def test_a_report_takes_as_many_queries_for_a_large_run(
    meadow: World, run: Run, django_assert_max_num_queries: Any
) -> None:
    client, address = viewer(meadow), reverse("admin:delivery_run_report", args=[run.pk])
    client.get(address)
    with django_assert_max_num_queries(30) as few:
        client.get(address)
    for number in range(30):
        Tally.objects.create(
            run=run, kind="opened", dimension="locale", value=f"x{number}", people=1, devices=1
        )
    with django_assert_max_num_queries(30) as many:
        client.get(address)
    assert len(few) == len(many)


def test_pictures_say_in_words_what_they_show_and_escape_what_people_wrote() -> None:
    drawn = charts.bars([("<b>Sale</b>", 0.5, "1 & 2")], says='"quoted"')
    assert "&lt;b&gt;Sale" in drawn and "1 &amp; 2" in drawn and 'aria-label="&quot;quoted&quot;"' in drawn
    assert "NaN" not in charts.lines(["00:00"], [("Sent", [0])], says="nothing")
    assert charts.stacked([("none", 0, charts.BLUE)], says="nothing").count("<rect") == 0
