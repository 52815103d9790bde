"""`docs/reference/providers.md` says what the senders' tables do, with a source for each code."""

import re
from pathlib import Path

import pytest

from delivery import allowance, device_quota
from delivery.remarks import SUSPECT
from delivery.senders import dispatch
from delivery.senders.apns import errors as apns
from delivery.senders.apns import options as apns_options
from delivery.senders.contract import NOT_STARTED, Verdict
from delivery.senders.fcm import errors as fcm
from delivery.senders.fcm import payload as fcm_payload
from delivery.senders.webpush import encryption, payload
from delivery.senders.webpush import errors as webpush
from devices import fcm_addresses, freshness
from fleet import apns_rules, google

DOCUMENT = Path(__file__).parent.parent / "docs" / "reference" / "providers.md"
WORDS = {
    Verdict.DEAD: "retires the device",
    Verdict.FAILED: "fails",
    Verdict.RETRY: "tried again",
    Verdict.SLOW: "slows the gate",
    Verdict.SHUT: "shuts the gate",
}
TABLES = {
    "`errorCode`": fcm.BY_ERROR_CODE,
    "`status` alone": fcm.BY_STATUS,
    "`reason`": apns.BY_REASON,
    "the body says": {words.decode(): found for words, found in webpush.BY_WORDS.items()},
    "HTTP": {str(status): found for status, found in webpush.BY_STATUS.items()},
}
"""The head of the column that has a table's codes → the table."""

Rows = dict[str, dict[str, str]]


def read(text: str) -> dict[str, Rows]:
    """Return the tables of errors by the head of their codes: code → cells by head."""
    tables: dict[str, Rows] = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        heads, _, *rows = [
            [cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()
        ]
        if "what we do" not in heads or heads[0] == "what came":
            continue
        codes = heads[1] if heads[1] in TABLES else heads[0]
        if codes not in TABLES:
            continue
        cells = [dict(zip([head or "note" for head in heads], row, strict=True)) for row in rows]
        found = tables[codes] = {row[codes].strip("`"): row for row in cells}
        assert len(found) == len(rows), f"a code of {codes} stands twice"
    return tables


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text()


@pytest.mark.parametrize("head", TABLES)
def test_every_code_stands_there_with_what_is_done_and_its_reason(text: str, head: str) -> None:
    said = {code: (row["what we do"], row["reason"].strip("`")) for code, row in read(text)[head].items()}
    assert said == {code: (WORDS[verdict], reason) for code, (verdict, reason) in TABLES[head].items()}


@pytest.mark.parametrize("head", TABLES)
def test_every_code_has_a_source_that_the_page_names_with_its_address(text: str, head: str) -> None:
    addresses = dict(re.findall(r"^\[(.+?)\]: (https://\S+)$", text, re.MULTILINE))
    for code, row in read(text)[head].items():
        if "source" in row:
            names = re.findall(r"\[(.+?)\]", row["source"])
            assert names and set(names) <= set(addresses), code
        else:
            assert head == "`reason`" and "[responses]" in text, "Apple has one table for all"
    assert set(re.findall(r"\[([^\]\n]+)\](?![:(])", text)) == set(addresses), (
        "each address is used and there"
    )


@pytest.mark.parametrize("head", TABLES)
def test_what_trips_the_brake_is_marked(text: str, head: str) -> None:
    for code, row in read(text)[head].items():
        reason = row["reason"].strip("`")
        trips = reason in SUSPECT or any(one.startswith(f"{reason}:") for one in SUSPECT)
        said = "brake" in row["note"] or "as above" in row["note"]
        assert said == trips, code


def test_codes_stand_beside_the_status_that_they_come_with(text: str) -> None:
    tables = read(text)
    statuses = {code: str(status) for code, (status, *_) in google.FCM_ERRORS.items()}
    assert statuses.items() <= {code: row["HTTP"] for code, row in tables["`errorCode`"].items()}.items()
    known = {code: str(status) for code, status in apns_rules.REASONS.items()}
    assert known.items() <= {code: row["HTTP"] for code, row in tables["`reason`"].items()}.items()


def test_what_comes_without_an_answer_stands_there(text: str) -> None:
    for reason in (dispatch.UNREACHABLE, dispatch.DIED_IN_FLIGHT, dispatch.UNKNOWN_ANSWER, NOT_STARTED):
        assert f"| tried again | `{reason}` |" in text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (fcm_payload.LIMIT, "| {:,} bytes | notification and data of a message to a device"),
        (fcm_payload.TOPIC_LIMIT, "| {:,} bytes | the same to a topic"),
        (fcm_payload.LONGEST_TTL, "| {:,} s | the longest time to live, four weeks"),
        (allowance.PER_MINUTE["fcm"], "| {:,} messages a minute |"),
        (device_quota.WINDOWS[0][1], "| {} messages a minute, 5,000 an hour | to one Android device"),
        (device_quota.WINDOWS[1][1], "| 240 messages a minute, {:,} an hour | to one Android device"),
        (fcm_addresses.MOST_TOPICS, "| {} | topics in a condition"),
        (freshness.STALE_AFTER.days, "| {} days, 270 days |"),
        (freshness.LAPSED_AFTER.days, "| 30 days, {} days |"),
        (int(fcm.QUOTA_WAIT), "Retry-After, else {} s"),
        (apns_options.PUSH_TYPES["alert"].limit, "| {:,} bytes | the payload"),
        (apns_options.PUSH_TYPES["voip"].limit, "{:,} bytes for `voip`"),
        (apns_options.COLLAPSE_ID_BYTES, "| {} bytes | `apns-collapse-id`"),
        (int(apns.PROVIDER_TOKEN_WAIT / 60), "else the {} minutes"),
        (encryption.BODY_LIMIT, "| {:,} bytes | the encrypted body"),
        (encryption.LIMIT, "{:,} bytes of text"),
        (payload.TOPIC_CHARACTERS, "| {} characters | a Topic"),
    ],
)
def test_limits_are_those_of_the_code(text: str, value: int, said: str) -> None:
    assert said.format(value) in text


def test_every_push_type_stands_there_with_its_topic(text: str) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (bundle id|the certificate's topic|`\.[\w.-]+`) \|", text, re.MULTILINE
    )
    said = {name: topic.strip("`") if topic.startswith("`") else "" for name, topic in rows}
    assert said == {name: kind.suffix for name, kind in apns_options.PUSH_TYPES.items()}
