import msgspec

from bench import events as events_bench
from bench import result
from bench.report import EventsTurn, Flow, Ours
from tests.bench.test_main import TURN

FANOUT = Ours(**{name: getattr(TURN, name) for name in Ours.__struct_fields__})
FLOW = Flow(
    events=100,
    expected=100,
    delivered=100,
    outcomes={"sent": 100},
    repeats=0,
    accept_seconds=0.5,
    seconds=1.0,
    cpu={"web": 0.02, "rest": 0.01},
    server_cpu={"postgres": 0.01},
    asked={
        "postgres.inserted.campaigns_event": 100,
        "postgres.updated.campaigns_event": 200,
        "postgres.statements": 900,
        "cassandra.writes.entry": 100,
        "cassandra.requests": 12,
        "redis.command.get": 5,
    },
    faults=[],
)
INTAKE = msgspec.structs.replace(FLOW, expected=0, delivered=0, cpu={"web": 0.005, "rest": 0.002})
ROUND = EventsTurn(FANOUT, INTAKE, FLOW)


def test_an_event_is_compared_with_a_device_of_the_same_round():
    assert events_bench.ratios_of([ROUND]) == {"cpu_over_fanout": 1.5}
    assert events_bench.ratios_of([ROUND]).keys() == result.read_goals(events_bench.NAME).keys()


def test_the_intakes_share_is_what_the_web_process_uses_when_no_rule_wants_the_events():
    figures = events_bench.figures_of([ROUND])
    assert figures["http_intake_cpu_ms_per_1000"] == 50.0
    assert figures["cpu_ms_per_1000"] == 300.0


def test_rows_are_counted_in_both_databases_and_questions_are_no_rows():
    assert events_bench.rows_of(FLOW) == {
        "campaigns_event inserted": 1.0,
        "campaigns_event updated": 2.0,
        "entry": 1.0,
    }
    assert events_bench.figures_of([ROUND])["rows_written_per_event"] == 4.0


def test_an_event_that_is_lost_and_one_that_no_rule_wanted_and_yet_arrived_are_both_told():
    lost = msgspec.structs.replace(FLOW, delivered=99)
    unwanted = msgspec.structs.replace(INTAKE, delivered=1)
    assert events_bench.undelivered([ROUND]) == []
    told = events_bench.undelivered([ROUND, EventsTurn(FANOUT, unwanted, lost)])
    assert [sentence.split(":")[0] for sentence in told] == ["events, round 2", "intake, round 2"]
