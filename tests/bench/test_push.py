from bench import push, result
from bench.pushing.course import Turn


def turn(server: str, **changed: object) -> Turn:
    figures: dict[str, object] = {
        **dict.fromkeys(Turn.__struct_fields__, 1.0),
        "server": server,
        "version": "1",
        "connections": 10,
        **{name: {server: 10.0} for name in ("unicast_us", "broadcast_us", "paced_us")},
        "undelivered": 0,
    }
    return Turn(**{**figures, **changed})  # type: ignore[arg-type]


def test_every_goal_bounds_a_ratio_of_the_server_that_is_the_default():
    ratios = push.ratios_of([turn("daphne"), turn("uvicorn"), turn("centrifugo")])
    assert result.read_goals(push.NAME).keys() == {name for name in ratios if not name.startswith("uvicorn_")}


def test_what_is_ours_is_added_up_before_it_is_compared():
    ours = turn("daphne", unicast_us={"node": 10.0, "redis": 2.0, "publisher": 8.0})
    assert push.ratios_of([ours, turn("centrifugo")])["unicast"] == 2.0


def test_growth_is_the_most_connections_over_the_fewest():
    few, many = push.figures_of([turn("daphne")]), push.figures_of([turn("daphne", idle_kb=1.5)])
    grown = push.growth_of({"19000": many, "1000": few})["daphne"]
    assert (grown["idle_kb"], grown["unicast_us"]) == (1.5, 1.0)


def test_one_number_of_connections_shows_no_growth():
    assert push.growth_of({"2000": push.figures_of([turn("daphne")])}) == {}
