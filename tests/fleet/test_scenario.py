"""A scenario makes what it names once for each folder, and breaks things when it says."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleet.client import Fleet, FleetError
from fleet.points import base64url
from fleet.scenario import Scenario, ScenarioError
from fleet.server import FleetServer

WHOLE = """
[[fcm]]
project = "shop"
devices = 3

[[apns]]
topics = ["com.example.shop"]
devices = 2
environment = "sandbox"

[[webpush]]
devices = 1

[[acts]]
at = 0
faults = { provider = "fcm", status_5xx = { status = 503, count = 7, retry_after = 2 } }

[[acts]]
at = 0
faults = { provider = "apns", latency_ms = 5, dead_fraction = 0.25 }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fcm = 1", "fcm"),
        ("[[fcm]]\nname = 'x'", "name"),
        ("[[apns]]\ntopics = []", "topics"),
        ("[[acts]]\nat = -1", "at"),
        ("[[acts]]\nat = 1\nfaults = { provider = 'fcm', colour = 'red' }", "colour"),
        ("not toml", "scenario.toml"),
    ],
)
def test_a_scenario_that_cannot_be_says_where_it_is_wrong(tmp_path, text, says):
    with pytest.raises(ScenarioError, match=says):
        Scenario.read(write(tmp_path, text))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ScenarioError, match="nowhere"):
        Scenario.read(tmp_path / "nowhere.toml")


def test_a_fleet_does_not_start_with_a_bad_scenario(tmp_path):
    with pytest.raises(FleetError, match="project: must be"):
        Fleet.start(tmp_path / "data", scenario=write(tmp_path, "[[fcm]]\nproject = 'NO'"))


def test_what_it_names_is_made_once_and_written_down(tmp_path):
    scenario = write(tmp_path, WHOLE)
    made: dict[str, Any] = {}
    for _ in range(2):
        with Fleet.start(tmp_path / "data", scenario=scenario):
            files = sorted((tmp_path / "data" / "made").iterdir())
            found = {file.name: file.read_text() for file in files}
            made = made or found
            assert found == made, "a restart makes nothing anew"
    account = json.loads(made["fcm-shop.json"])
    assert account["project_id"] == "shop" and account["token_uri"].startswith("https://127.0.0.1:")
    assert len(made["fcm-shop.tokens"].splitlines()) == 3
    key = json.loads(made["apns-com.example.shop.json"])
    assert "PRIVATE KEY" in made[key["key_file"]]
    assert len(made["apns-com.example.shop.tokens"].splitlines()) == 2
    (subscription,) = json.loads(made["webpush-1.json"])
    assert set(subscription["keys"]) == {"p256dh", "auth"}


def test_its_acts_begin_and_end_faults(server: FleetServer, tmp_path):
    async def story() -> None:
        acts = "[[acts]]\nat = 0\nfaults = { provider = 'fcm', latency_ms = 5 }\n"
        acts += "[[acts]]\nat = 0.001\nfaults = { provider = 'nobody' }\n".replace("nobody", "websocket")
        acts += "[[acts]]\nat = 0.002\nfaults = { provider = 'webpush', lost_answers = 3 }\n"
        await server._stage.set(Scenario.read(write(tmp_path, acts)))
        assert server._stage._acting is not None
        await server._stage._acting
        assert server.world.trouble["fcm"].faults.latency_ms == 5
        assert server.world.trouble["webpush"].faults.lost_answers == 3, "an act that fails stops no other"
        await server._stage.set(Scenario.read(write(tmp_path, "[[acts]]\nat = 0\nheal = true\n")))
        await server._stage._acting
        assert server.world.trouble["fcm"].faults.latency_ms == 0

    asyncio.run(story())


def test_subscriptions_of_a_scenario_may_belong_to_a_key(server: FleetServer, webpush, tmp_path):
    key = base64url(webpush.point)
    text = f"[[webpush]]\ndevices = 1\napplication_server_key = '{key}'\n"
    asyncio.run(server._stage.set(Scenario.read(write(tmp_path, text))))
    (made,) = json.loads((tmp_path / "made" / "webpush-1.json").read_text())
    device = server.world.device(made["endpoint"])
    assert server.world.devices.batch(device).home == key


def test_the_example_of_the_how_to_is_a_scenario(tmp_path):
    text = (Path(__file__).resolve().parents[2] / "docs/how-to/test-your-senders.md").read_text()
    (example,) = [part.partition("```")[0] for part in text.split("```toml\n")[1:]]
    scenario = Scenario.read(write(tmp_path, example))
    assert scenario.fcm and scenario.apns and scenario.webpush and scenario.acts


def test_the_made_files_are_secret(tmp_path):
    with Fleet.start(tmp_path / "data", scenario=write(tmp_path, WHOLE)) as fleet:
        folder = Path(fleet.ca_file).parent / "made"
        modes = subprocess.run(
            ["stat", "-c", "%a %n", *folder.glob("*.json")], capture_output=True, text=True
        )
        assert all(line.startswith("600") for line in modes.stdout.splitlines()), modes.stdout
