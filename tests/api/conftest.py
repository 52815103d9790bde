"""Two applications that know nothing of each other."""

import pytest

from tests.api_world import World, make_world


@pytest.fixture
def shop(db: None) -> World:
    return make_world("shop")


@pytest.fixture
def bank(db: None) -> World:
    return make_world("bank")
