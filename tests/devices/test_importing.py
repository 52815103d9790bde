"""Imports are worked in parts: each once, whoever dies in between, and what was refused comes back."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.translation import override

from devices import csv_in, importing, segments
from devices.admin.imports import sentence
from devices.models import Application, Import, ImportPart, Membership, Role, Segment, Subscriber
from tests.admin_world import member

Start = Callable[..., Import]


@pytest.fixture
def application(db: None, settings: Any) -> Application:
    settings.PAGE_PEOPLE = 10
    settings.PAGE_PAUSE_MS = 0
    return Application.objects.create(name="Shop", slug="shop")


@pytest.fixture
def start(application: Application) -> Start:
    def start(content: str, **fields: Any) -> Import:
        source = Import.objects.create(application=application, file_name="people.csv", **fields)
        importing.take(source, io.BytesIO(content.encode()))
        return source

    return start


def work() -> None:
    while importing.work_one():
        pass


def people(count: int) -> str:
    return "external_id,locale,plan\n" + "".join(
        f"p{n},de,{'pro' if n % 2 else 'free'}\n" for n in range(count)
    )


def test_people_are_made_and_changed_and_nobody_twice(application: Application, start: Start) -> None:
    Subscriber.objects.create(application=application, external_id="p3", attributes={"age": 7}, consent=False)
    other = Application.objects.create(name="Other", slug="other")
    Subscriber.objects.create(application=other, external_id="p4", locale="fr")
    source = start(people(35))
    work()
    source.refresh_from_db()
    assert (source.state, source.rows, source.done, source.made, source.changed, source.refused) == (
        "done", 35, 35, 34, 1, 0,
    )  # fmt: skip
    changed = Subscriber.objects.get(application=application, external_id="p3")
    assert (changed.attributes, changed.locale, changed.consent) == ({"age": 7, "plan": "pro"}, "de", False)
    assert Subscriber.objects.get(application=other).locale == "fr"
    again = start(people(35))
    work()
    again.refresh_from_db()
    assert (again.made, again.changed) == (0, 35) and Subscriber.objects.count() == 36
    assert len(set(Subscriber.objects.values_list("uid", flat=True))) == 36
    assert not ImportPart.objects.exclude(rows=[]).exists()


def test_a_worker_that_dies_in_a_part_loses_nothing_and_does_nothing_twice(
    application: Application, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = start(people(25))
    assert importing.work_one()
    saved = importing._save_people

    def die(*given: Any) -> Any:
        saved(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "_save_people", die)
    with pytest.raises(KeyboardInterrupt):
        importing.work_one()
    monkeypatch.setattr(importing, "_save_people", saved)
    assert Subscriber.objects.count() == 10
    assert not importing.is_due()  # until the dead one's lease is over
    Import.objects.update(lease_until=0)
    work()
    source.refresh_from_db()
    assert (source.state, source.done, source.made, source.changed) == ("done", 25, 25, 0)


def test_a_worker_that_was_thought_dead_writes_nothing(
    application: Application, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = start(people(10))
    saved = importing._save_people

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(importing, "_save_people", saved)
        Import.objects.update(claim="another", lease_until=0)
        return saved(*given)

    monkeypatch.setattr(importing, "_save_people", overtaken)
    importing.work_one()
    assert Subscriber.objects.count() == 0
    Import.objects.update(lease_until=0)
    work()
    source.refresh_from_db()
    assert (source.done, source.made) == (10, 10)


def test_refused_rows_come_back_with_line_and_reason(application: Application, start: Start) -> None:
    source = start("external_id,time_zone\np1,Europe/Berlin\np2,Mars\np1,\n,Europe/Berlin\n")
    work()
    source.refresh_from_db()
    assert (source.done, source.made, source.refused) == (4, 1, 3)
    assert [row[:2] for row in importing.refused_rows(source)] == [
        [3, "time_zone “Mars” is no IANA time zone, as Europe/Berlin"],
        [4, "the same external_id stands in line 2"],
        [5, "external_id is empty"],
    ]


def test_why_rows_are_refused_is_said_in_the_language_of_whoever_uploaded(
    application: Application, start: Start
) -> None:
    person = Subscriber.objects.create(application=application, external_id="p5")
    Subscriber.objects.filter(pk=person.pk).update(attributes={f"a{n}": n for n in range(100)})
    with override("de"):
        source = start(
            "external_id,time_zone,quiet_hours,plan\np1,Mars,,\np2,Europe/Berln,,\np3,,always,\np3,,,\np5,,,pro\n"
        )
        fixed = Segment.objects.create(application=application, name="Fixed", is_static=True)
        listed = start("external_id\nnobody\n", kind="segment", segment=fixed)
    work()
    assert [row[1] for row in importing.refused_rows(source)] == [
        "time_zone „Mars“ ist keine IANA-Zeitzone wie Europe/Berlin",
        "time_zone „Europe/Berln“ ist keine IANA-Zeitzone: Meinten Sie Europe/Berlin?",
        "quiet_hours: „always“ nennt keine Ruhezeiten; schreiben Sie von und bis, etwa 22:00-08:00, oder off.",
        "dieselbe external_id steht in Zeile 4",
        "der Abonnent hätte mehr als 100 Attribute",
    ]
    assert "import the subscribers first" not in str(list(importing.refused_rows(listed)))


def test_an_import_that_was_stopped_says_so_in_the_viewers_language(
    application: Application, start: Start
) -> None:
    source = start(people(3))
    assert importing.cancel(source)
    viewer = Client()
    user = User.objects.create_user("vera", is_staff=True)
    Membership.objects.create(user=user, application=application, role=Role.VIEWER)
    viewer.force_login(user)
    page = reverse("admin:devices_import_change", args=[source.pk])
    for language, said in (("en", "Stopped by a person."), ("de", "Von Hand gestoppt.")):
        assert said in viewer.get(page, headers={"accept-language": language}).content.decode()


def test_a_failure_with_a_per_cent_sign_is_shown_as_it_is(application: Application, start: Start) -> None:
    source = start(people(3))
    Import.objects.update(state="failed", error="OSError: 100 % full")
    source.refresh_from_db()
    assert sentence(source).endswith("OSError: 100 % full")


def test_a_list_takes_the_subscribers_that_exist_once(application: Application, start: Start) -> None:
    for name in ("a", "b", "c"):
        Subscriber.objects.create(application=application, external_id=name)
    fixed = Segment.objects.create(application=application, name="Fixed", is_static=True)
    fixed.members.create(subscriber=Subscriber.objects.get(external_id="c"))
    source = start("external_id,whatever\na,1\nb,2\nc,3\nz,4\n", kind="segment", segment=fixed)
    work()
    source.refresh_from_db()
    assert (source.state, source.made, source.changed, source.refused) == ("done", 2, 1, 1)
    assert segments.subscribers(application, fixed.predicate).count() == 3
    assert [row[1] for row in importing.refused_rows(source)] == [
        "there is no subscriber with this id; import the subscribers first"
    ]


def test_a_file_that_is_refused_leaves_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_in, "MOST_ROWS", 25)
    with pytest.raises(csv_in.FileError):
        start(people(26))
    assert not Import.objects.exists() and not ImportPart.objects.exists()


def test_a_part_costs_the_same_number_of_queries_whatever_its_size(
    application: Application, start: Start, settings: Any
) -> None:
    costs = []
    for size in (5, 60):
        settings.PAGE_PEOPLE = size
        start(people(size))
        with CaptureQueriesContext(connection) as queries:
            assert importing.work_one()
        costs.append(len(queries))
        work()
    assert costs[0] == costs[1]


def test_an_import_that_is_stopped_keeps_what_is_imported(application: Application, start: Start) -> None:
    source = start(people(25))
    importing.work_one()
    assert importing.cancel(source) and not importing.cancel(source)
    work()
    source.refresh_from_db()
    assert (source.state, source.done, Subscriber.objects.count()) == ("failed", 10, 10)


# -- the pages


@pytest.fixture
def editor(application: Application, django_user_model: Any) -> Client:
    user = django_user_model.objects.create_user("editor", is_staff=True)
    Membership.objects.create(user=user, application=application, role=Role.MARKETER)
    client = Client()
    client.force_login(user)
    return client


def upload(client: Client, content: bytes, **fields: Any) -> Any:
    file = SimpleUploadedFile("people.csv", content)
    posted = {"kind": "subscribers", "file": file, **fields}
    return client.post(reverse("admin:devices_import_add"), posted, follow=True)


def test_a_file_is_uploaded_watched_and_its_refused_rows_downloaded(editor: Client) -> None:
    answer = upload(editor, b"external_id,note\nada,=1+1\nbob\n")
    source = Import.objects.get()
    assert "<progress" in answer.content.decode() and "0" in answer.content.decode()
    watch = reverse("admin:devices_import_progress", args=[source.pk])
    assert editor.get(watch).json()["over"] is False
    work()
    told = editor.get(watch).json()
    assert told["over"] and told["percent"] == 100
    assert told["sentence"] == "2 of 2 rows: 1 made, 0 changed, 1 refused."
    file = editor.get(reverse("admin:devices_import_refused", args=[source.pk]))
    assert file.getvalue().decode() == (
        '\ufeffline,reason,external_id,note\r\n3,"it has 1 cells, the header 2",bob\r\n'
    )


def test_the_page_of_an_import_shows_why_rows_were_refused_to_whoever_may_have_them(
    editor: Client, application: Application
) -> None:
    upload(editor, b"external_id\n" + b"".join(b"p%d,more\n" % number for number in range(7)))
    source = Import.objects.get()
    work()
    address = reverse("admin:devices_import_change", args=[source.pk])
    page = editor.get(address).content.decode()
    for line in range(2, 7):
        assert f"Line {line}: it has 2 cells, the header 1" in page
    assert "Line 7" not in page and page.count("All 7 as a file") == 1
    assert "7 / 7, 7 refused" in editor.get(reverse("admin:devices_import_changelist")).content.decode()
    reader = Client()
    reader.force_login(member("reader", application, Role.VIEWER))
    page = reader.get(address).content.decode()
    assert "it has 2 cells" not in page and "as a file" not in page


def test_a_new_list_is_made_with_its_file_and_goes_with_a_bad_one(editor: Client) -> None:
    Subscriber.objects.create(application=Application.objects.get(), external_id="ada")
    page = upload(editor, b"PK\x03\x04....", kind="segment", name="Guests")
    assert "Excel workbook" in page.content.decode() and not Segment.objects.exists()
    page = upload(editor, b"external_id\nada\n", kind="segment")
    assert "Name the new list" in page.content.decode()
    upload(editor, b"external_id\nada\n", kind="segment", name="Guests")
    work()
    assert Segment.objects.get(name="Guests").members.count() == 1
    page = upload(editor, b"external_id\nada\n", kind="segment", name="Guests")
    assert "There is a segment of that name already." in page.content.decode()


def test_a_viewer_imports_nothing_and_strangers_see_nothing(
    editor: Client, application: Application, django_user_model: Any
) -> None:
    upload(editor, b"external_id\nada\n")
    source = Import.objects.get()
    other = Application.objects.create(name="Other", slug="other")
    user = django_user_model.objects.create_user("stranger", is_staff=True)
    Membership.objects.create(user=user, application=other, role=Role.ADMINISTRATOR)
    fixed = Segment.objects.create(application=application, name="Fixed", is_static=True)
    stranger = Client()
    stranger.force_login(user)
    for name in ("progress", "refused", "change", "stop"):
        assert stranger.get(reverse(f"admin:devices_import_{name}", args=[source.pk])).status_code == 404
    page = upload(stranger, b"external_id\nada\n", kind="segment", segment=fixed.pk)
    assert "Select a valid choice" in page.content.decode() and Import.objects.count() == 1
    Membership.objects.filter(user=user).update(role=Role.VIEWER)
    assert stranger.get(reverse("admin:devices_import_add")).status_code == 403
    assert upload(stranger, b"external_id\nada\n").status_code == 403
