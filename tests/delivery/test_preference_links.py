"""`{{ preferences_url }}` in a text: each person's own signed link, and only where somebody said where the hub is."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from delivery.snapshot import Experiment, Text, Variant
from delivery.thinking import links_to_preferences
from devices import preference_links
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]
TEXTS = {
    "en": Text(
        title="Hi {{ first_name }}", body="Choose: {{ preferences_url }}", link="{{ preferences_url }}"
    )
}


def test_everybody_is_sent_a_link_of_their_own(
    provider: world.FakeSender, work_all: Work, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://push.example"
    app = world.application()
    people = world.people(app, 3, "fcm")
    # an attribute of that name leads nobody elsewhere
    people[0].attributes = {"preferences_url": "https://evil.example"}
    people[0].save()
    world.launch(app, snapshot=world.snapshot(texts=TEXTS))
    work_all()
    (envelope,) = provider.envelopes
    links = [envelope.contents[message.content].link for message in envelope.messages]
    assert len(set(links)) == 3
    whose = []
    for link in links:
        assert link.startswith("https://push.example/preferences/")
        path = link.removeprefix("https://push.example")
        assert Client().get(path).status_code == 200
        whose.append(preference_links.read(path.split("/")[2]).subscriber.pk)
    assert sorted(whose) == [one.pk for one in people]


def test_a_link_costs_no_query(settings: Any) -> None:
    settings.PUBLIC_URL = "https://push.example"
    eva = world.subscriber(world.application(), "eva")
    with CaptureQueriesContext(connections["default"]) as seen:
        assert preference_links.address(eva.uid, 0.0) != ""
    assert len(seen) == 0
    settings.PUBLIC_URL = ""
    assert preference_links.address(eva.uid, 0.0) == ""


def test_links_are_made_only_where_a_text_names_them() -> None:
    assert not links_to_preferences(world.snapshot())
    assert links_to_preferences(world.snapshot(texts=TEXTS))
    trial = Experiment("k", [Variant("A", 1, {"en": Text(body="{{ preferences_url }}")}), Variant("B")])
    assert links_to_preferences(world.snapshot(experiment=trial))
