"""Blocks are read and written as hpack, which others wrote, reads and writes them."""

import time
from email.utils import formatdate
from typing import Any

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.http2.headers import BlockError, Writer, fields, read, seconds

names = st.sampled_from(["apns-topic", "authorization", "content-type", "x-a", "x-b", "te"])
values = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=40)
long_values = st.sampled_from(["y" * 900, "z" * 1700, "w" * 3000])
lines = st.lists(
    st.tuples(names, st.one_of(values, long_values)).map(lambda pair: f"{pair[0].title()}:  {pair[1]} "),
    max_size=5,
)
own = st.lists(
    st.tuples(st.sampled_from(["apns-id", "apns-collapse-id"]), values), max_size=2, unique_by=lambda p: p[0]
)
requests = st.tuples(
    st.sampled_from(["/one", "/two"]) | values.map("/".__add__), lines, own, st.integers(0, 9999)
)


@given(sent=st.lists(requests, min_size=1, max_size=12), room=st.sampled_from([0, 100, 1024, 4096, 65536]))
def test_what_is_written_is_read_as_it_was_meant(sent: list[Any], room: int) -> None:
    writer = Writer("provider.test:8443", room=room, bare=frozenset({b"authorization"}))
    decoder = hpack.Decoder()
    shared: dict[tuple[str, ...], list[str]] = {}
    for path, written, own_fields, length in sent * 2:
        given_lines = shared.setdefault(tuple(written), written)
        block = writer.block(path, given_lines, tuple(own_fields), length)
        expected = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "provider.test:8443"),
            (":path", path),
            *((name.decode(), value.decode()) for name, value in fields(given_lines)),
            ("content-length", str(length)),
            *own_fields,
        ]
        assert decoder.decode(block) == expected


def test_what_requests_share_is_written_once() -> None:
    writer = Writer("provider.test")
    shared = ["authorization: bearer " + "t" * 500, "apns-topic: com.example.app"]
    own_fields = (("apns-id", "0190f3c2-0000-7000-8000-000000000002"),)
    lengths = [len(writer.block("/3/device/00", shared, own_fields, 100)) for _ in range(4)]
    assert lengths[0] > 550
    assert lengths[2] == lengths[3] < 80


def test_a_header_that_shall_not_be_kept_is_never_put_into_the_table() -> None:
    writer = Writer("provider.test", bare=frozenset({b"authorization"}))
    decoder = hpack.Decoder()
    for number in range(3):
        decoder.decode(writer.block("/", [f"authorization: bearer {number}"], (), 1))
    assert [name for name, _ in decoder.header_table.dynamic_entries] == [b":authority"]


def test_a_line_without_a_value_asks_for_no_header() -> None:
    assert fields(["Expect:", "Content-Type: application/json", "x:  "]) == [
        (b"content-type", b"application/json")
    ]


@given(
    status=st.integers(100, 599),
    wait=st.one_of(st.none(), st.integers(0, 10**6)),
    other=st.lists(st.tuples(st.sampled_from(["date", "apns-id", "server", "x-own"]), values), max_size=4),
    huffman=st.booleans(),
)
def test_status_and_retry_after_are_found_in_what_hpack_writes(
    status: int, wait: int | None, other: list[tuple[str, str]], huffman: bool
) -> None:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    headers = [(":status", str(status)), *other]
    if wait is not None:
        headers.append(("retry-after", str(wait)))
    for _ in range(2):
        found = read(encoder.encode(headers, huffman=huffman))
        # A wait with a success is of no interest.
        assert found in ((status, wait or 0), (200, 0)) and found[0] == status


def test_retry_after_may_be_a_date() -> None:
    assert 58 <= seconds(formatdate(time.time() + 60, usegmt=True).encode()) <= 61
    assert seconds(formatdate(time.time() - 60, usegmt=True).encode()) == 0


@pytest.mark.parametrize("value", [b"", b"soon", b"-5", b"\xff", b"1.5", b"9" * 400])
def test_a_retry_after_that_says_nothing_is_none(value: bytes) -> None:
    assert seconds(value) in (0, 10**9)


@given(block=st.binary(max_size=60))
def test_no_block_does_more_harm_than_an_error(block: bytes) -> None:
    try:
        status, wait = read(block)
    except BlockError:
        return
    assert isinstance(status, int) and wait >= 0


@pytest.mark.parametrize(
    "block", [b"", b"\xc0", b"\x7e\x01a", b"\x3f\xe1\x1f\x88", b"\x08\x7fabc", b"\x08\x03abc"]
)
def test_a_block_that_needs_a_table_or_ends_too_early_is_an_error(block: bytes) -> None:
    with pytest.raises(BlockError):
        read(block)
