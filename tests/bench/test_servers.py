from pathlib import Path

import msgspec
import pytest

from bench import servers


def test_without_kept_servers_it_says_how_to_have_some(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(servers, "KEPT", tmp_path / "servers.json")
    with pytest.raises(servers.ServersError, match="python -m bench servers"), servers.reused():
        pass


def test_kept_servers_that_are_gone_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    kept = tmp_path / "servers.json"
    kept.write_bytes(
        msgspec.json.encode(servers.Servers({"DATABASE_URL": "none"}, {"redis": [2**22 + 1]}, {}))
    )
    monkeypatch.setattr(servers, "KEPT", kept)
    with pytest.raises(servers.ServersError, match="are gone"), servers.reused():
        pass


def test_a_broker_that_refuses_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    tool = tmp_path / "erl_call"
    tool.write_text("#!/bin/sh\necho '{error, undef}'\n")
    tool.chmod(0o755)
    (tmp_path / ".erlang.cookie").write_text("cookie")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    broker = {"HOME": str(tmp_path), "RABBITMQ_NODENAME": "x@localhost", "PATH": f"{tmp_path}:/bin"}
    with pytest.raises(servers.ServersError, match="undef"):
        servers.erlang(broker, "rabbit_vhost:list()")
