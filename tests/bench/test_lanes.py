import msgspec
import pytest

from bench import lanes as lanes_bench
from bench import result
from bench.report import Ages, LanesReport

IDLE = Ages(
    expected=4,
    arrived=4,
    seconds={"socket": [0.01, 0.02], "fcm": [0.04, 0.05]},
    answered=[0.005] * 4,
    late=[0.0] * 4,
    cpu={"web": 0.02, "urgent": 0.04},
    server_cpu={"postgres": 0.008},
)
BUSY = msgspec.structs.replace(IDLE, seconds={"socket": [0.02, 0.03], "fcm": [0.05, 0.10]})
LANES = LanesReport(
    size="embedded",
    online=2,
    connect_seconds=1.0,
    idle=IDLE,
    busy=BUSY,
    bulk_rate_alone=1_000.0,
    bulk_rate_busy=900.0,
    bulk_runs=3,
    second_alone=[0.5, 0.4, 0.9],
    second_busy=[1.0, 0.9, 3.0],
    faults=[],
)


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1), (0.001, 1)]
)
def test_a_percentile_is_one_of_the_values(share: float, value: int):
    assert lanes_bench.percentile(list(range(100, 0, -1)), share) == value


def test_ratios_compare_with_what_was_without_the_bulk_run():
    ratios = lanes_bench.ratios_of(LANES)
    assert ratios == pytest.approx(
        {
            "socket_p99_over_idle": 1.5,
            "socket_p99_ms": 30.0,
            "fcm_p99_over_idle": 2.0,
            "fcm_p99_ms": 100.0,
            "bulk_rate_kept": 0.9,
            "second_over_alone": 2.0,
        }
    )
    assert ratios.keys() == result.read_goals(lanes_bench.NAME).keys()


def test_ages_are_printed_in_milliseconds_with_what_the_service_itself_was_late():
    shown = lanes_bench.figures_of(LANES)["idle"]
    assert shown["socket"] == {"p50": 10.0, "p99": 20.0, "p99.9": 20.0, "most": 20.0}
    assert shown["sent_late"]["p99"] == 0.0


def test_a_critical_event_that_did_not_arrive_spoils_the_run():
    lost = msgspec.structs.replace(BUSY, arrived=3)
    assert lanes_bench.undelivered(LANES) == []
    told = lanes_bench.undelivered(msgspec.structs.replace(LANES, busy=lost, faults=["run: sums"]))
    assert told == ["during bulk: 3 of 4 critical events arrived", "run: sums"]


def test_more_events_than_there_are_open_devices_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        lanes_bench.main(["--online", "100", "--events", "2000"])
    assert "another open device" in capsys.readouterr().err


def test_what_an_event_costs_is_told_by_part() -> None:
    ages = lanes_bench.ages_of(IDLE)
    assert ages["cpu_ms_per_event"] == pytest.approx({"urgent": 10.0, "web": 5.0})
    assert ages["server_cpu_ms_per_event"] == pytest.approx({"postgres": 2.0})
