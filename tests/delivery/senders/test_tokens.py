import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from delivery.senders.apns.key import Key
from delivery.senders.contract import Credential, CredentialError, TokenStore
from delivery.senders.fcm.account import Account
from delivery.senders.tokens import MemoryTokenStore, RedisTokenStore, SharedTokens
from fleet.client import Fleet
from tests.servers.redis import Redis

LATER = 4_000_000_000.0


@pytest.fixture(scope="module")
def redis_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with Redis(folder) as server, redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest) -> TokenStore:
    if request.param == "memory":
        return MemoryTokenStore()
    client: redis.Redis = request.getfixturevalue("redis_client")
    client.flushdb()
    return RedisTokenStore(client)


def minting(*tokens: str) -> Callable[[], tuple[str, float]]:
    left = iter(tokens)
    return lambda: (next(left), LATER)


def test_an_unknown_token_is_none(store: TokenStore) -> None:
    assert store.get("key") is None


def test_the_first_token_stands(store: TokenStore) -> None:
    assert store.put("key", "first", LATER) == ("first", LATER)
    assert store.put("key", "second", LATER) == ("first", LATER)
    assert store.get("key") == ("first", LATER)


def test_an_expired_token_is_gone(store: TokenStore) -> None:
    store.put("key", "old", 1.0)
    assert store.get("key") is None
    assert store.put("key", "new", LATER) == ("new", LATER)


def test_only_the_token_that_was_refused_is_dropped(store: TokenStore) -> None:
    store.put("key", "good", LATER)
    store.drop("key", "refused")
    assert store.get("key") == ("good", LATER)
    store.drop("key", "good")
    assert store.get("key") is None


def test_two_processes_use_one_token(store: TokenStore) -> None:
    assert SharedTokens(store).current("key", minting("first")) == "first"
    assert SharedTokens(store).current("key", minting("second")) == "first"


def test_a_token_is_made_again_when_its_time_is_over() -> None:
    clock = [1000.0]
    tokens = SharedTokens(MemoryTokenStore(now=lambda: clock[0]), now=lambda: clock[0])
    mint = iter([("first", 3700.0), ("second", 6400.0)])
    assert tokens.current("key", lambda: next(mint)) == "first"
    clock[0] = 3699.0
    assert tokens.current("key", lambda: next(mint)) == "first"
    clock[0] = 3700.0
    assert tokens.current("key", lambda: next(mint)) == "second"


def test_apples_token_is_renewed_between_20_and_60_minutes_and_googles_before_its_end(
    fleet: Fleet, fcm_credential: Credential, apns_credential: Credential
) -> None:
    late = [0.0]

    def clock() -> float:
        return time.time() + late[0]

    account, key = Account(fcm_credential), Key(apns_credential)
    for make, soonest, latest in ((key.mint, 20 * 60, 60 * 60), (account.mint, 0, 60 * 60)):

        def mint(make: Callable[[], tuple[str, float]] = make) -> tuple[str, float]:
            token, renew_at = make()
            return token, renew_at + late[0]

        late[0] = 0.0
        store = MemoryTokenStore(now=clock)
        made, others = (SharedTokens(store, now=clock) for _ in range(2))
        first = made.current("key", mint)
        late[0] = soonest
        assert made.current("key", mint) == others.current("key", mint) == first
        late[0] = latest - 60  # a batch that begins now ends with a token that is good
        assert made.current("key", mint) != first
        assert others.current("key", mint) == made.current("key", mint), "one for all processes"


def test_a_refused_token_is_replaced_once(store: TokenStore) -> None:
    one, other = SharedTokens(store), SharedTokens(store)
    assert one.current("key", minting("old")) == other.current("key", minting("unused")) == "old"
    assert one.renewed("key", minting("new"), refused="old") == "new"
    assert other.renewed("key", minting("unused"), refused="old") == "new"


def test_threads_wait_for_one_exchange() -> None:
    tokens = SharedTokens(MemoryTokenStore())
    all_here = threading.Barrier(8)
    made = []

    def mint() -> tuple[str, float]:
        made.append(1)
        return "token", LATER

    def ask() -> str:
        all_here.wait()
        return tokens.current("key", mint)

    with ThreadPoolExecutor(8) as pool:
        assert {future.result() for future in [pool.submit(ask) for _ in range(8)]} == {"token"}
    assert made == [1]


def test_what_the_exchange_raises_is_raised_and_nothing_kept() -> None:
    tokens = SharedTokens(MemoryTokenStore())

    def refuse() -> tuple[str, float]:
        raise CredentialError("refused", "Refused.")

    with pytest.raises(CredentialError):
        tokens.current("key", refuse)
    assert tokens.current("key", minting("token")) == "token"


def test_without_redis_every_process_makes_its_own() -> None:
    with redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)) as nobody:
        store = RedisTokenStore(nobody)
        assert store.put("key", "own", LATER) == ("own", LATER)
        assert SharedTokens(store).renewed("key", minting("other"), refused="own") == "other"


@pytest.mark.server
def test_a_broken_entry_in_redis_counts_as_none(redis_client: redis.Redis) -> None:
    redis_client.set("nh:token:key", b"nonsense")
    assert RedisTokenStore(redis_client).get("key") is None
