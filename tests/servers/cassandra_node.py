"""What one Cassandra node is started with: the Java 17 that runs it, its jars, its options and its cassandra.yaml."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import ServerError

VERSION = "5.0.6"
_INSTALL = "run `python -m tests.servers install`"

# conf/jvm17-server.options of Cassandra 5.0: what it needs of the Java platform's inside.
_EXPORTS = """
    java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry
    java.rmi/sun.rmi.server java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc
    jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach
"""
_OPENS = """
    java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref java.base/jdk.internal.reflect
    java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.util.jar
    jdk.management/com.sun.management.internal java.base/sun.nio.ch java.base/java.io java.base/java.lang.reflect
    jdk.compiler/com.sun.tools.javac java.base/java.lang java.base/java.util
"""

# One token a node, spread evenly, is known beforehand: no bootstrap, and readiness can be asked range by range.
# The timeouts are longer than the defaults (2 s and 5 s) because tests share few cores with the servers. Memtables
# and the size of batches that is warned of are as docs/how-to/operate.md advises.
_YAML = """
cluster_name: notifyhub-tests-{port}
num_tokens: 1
initial_token: "{token}"
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seeds}"
listen_address: {host}
storage_port: {storage_port}
rpc_address: {host}
start_native_transport: true
native_transport_port: {port}
data_file_directories: ["{home}/data"]
commitlog_directory: "{home}/commitlog"
saved_caches_directory: "{home}/saved_caches"
hints_directory: "{home}/hints"
cdc_raw_directory: "{home}/cdc_raw"
commitlog_sync: {commitlog_sync}
commitlog_total_space: 256MiB
commitlog_segment_size: 16MiB
auto_snapshot: false
memtable:
  configurations:
    trie:
      class_name: TrieMemtable
    default:
      inherits: trie
memtable_allocation_type: offheap_objects
batch_size_warn_threshold: 40KiB
read_request_timeout: 15s
range_request_timeout: 15s
write_request_timeout: 15s
truncate_request_timeout: 60s
request_timeout: 15s
"""

_LOGBACK = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{HH:mm:ss.SSS} %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""


def servers_folder() -> Path:
    """Return the folder of what was downloaded: NOTIFYHUB_SERVERS_DIR, or `~/.cache/notifyhub/servers`."""
    return Path(os.environ.get("NOTIFYHUB_SERVERS_DIR") or Path.home() / ".cache" / "notifyhub" / "servers")


def jar_folder() -> Path:
    """Return where the jars of this version belong, whether they are there or not."""
    return servers_folder() / f"cassandra-{VERSION}"


def find_jars() -> Path:
    """Return the folder with Cassandra's jars; raises `ServerError` when they were never downloaded."""
    folder = jar_folder()
    if not (folder / f"cassandra-all-{VERSION}.jar").exists():
        raise ServerError(f"no Cassandra {VERSION} in {folder}: {_INSTALL}")
    return folder


def find_java() -> Path:
    """Return a Java 17 program, whatever the machine's default Java is; raises `ServerError` when there is none.

    Looked for in JAVA_HOME, in /usr/lib/jvm and on PATH. Cassandra 5.0 runs on Java 11 and 17 only.
    """
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    homes += sorted(Path("/usr/lib/jvm").glob("*"))
    if on_path := shutil.which("java"):
        homes.append(Path(on_path).resolve().parent.parent)
    for home in homes:
        release, java = home / "release", home / "bin" / "java"
        if java.exists() and release.exists() and 'JAVA_VERSION="17' in release.read_text():
            return java
    raise ServerError(
        f"no Java 17 found: {_INSTALL}, or install openjdk-17-jre-headless, or set JAVA_HOME to one"
    )


def token_of(index: int, nodes: int) -> int:
    """Return the one token of a node: the ring from -2⁶³ to 2⁶³ - 1 in equal parts."""
    return -(2**63) + (index + 1) * (2**64 // nodes) - 1


def write_config(
    home: Path, *, index: int, hosts: list[str], port: int, storage_port: int, every_write_synced: bool
) -> None:
    """Write cassandra.yaml and logback.xml into `home/conf`."""
    (home / "conf").mkdir(parents=True, exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    text = _YAML.format(
        home=home,
        host=hosts[index],
        # Every node is a seed: any of them can come back first after all were killed.
        seeds=",".join(hosts),
        token=token_of(index, len(hosts)),
        port=port,
        storage_port=storage_port,
        commitlog_sync="batch" if every_write_synced else "periodic\ncommitlog_sync_period: 1s",
    )
    (home / "conf" / "cassandra.yaml").write_text(text)
    (home / "conf" / "logback.xml").write_text(_LOGBACK)


def command(home: Path, *, heap_mb: int) -> list[str]:
    """Return the command line of the node whose configuration lies in `home/conf`."""
    return [str(find_java()), *_options(home, find_jars(), heap_mb=heap_mb)]


def _options(home: Path, jars: Path, *, heap_mb: int) -> Iterator[str]:
    yield f"-javaagent:{next(jars.glob('jamm-*.jar'))}"
    yield from (f"-Xms{heap_mb // 2}m", f"-Xmx{heap_mb}m", "-XX:+UseG1GC", "-XX:-UsePerfData", "-Xss512k")
    yield "-Djdk.attach.allowAttachSelf=true"
    for package in _EXPORTS.split():
        yield f"--add-exports={package}=ALL-UNNAMED"
    for package in _OPENS.split():
        yield f"--add-opens={package}=ALL-UNNAMED"
    yield "-Dio.netty.tryReflectionSetAccessible=true"
    yield f"-Dcassandra.config=file://{home}/conf/cassandra.yaml"
    yield f"-Dcassandra.storagedir={home}"
    yield f"-Dcassandra.logdir={home}"
    yield from (f"-Djava.io.tmpdir={home}/tmp", f"-Djna.tmpdir={home}/tmp")
    yield "-Dcassandra-foreground=yes"
    # Waits meant for rings whose nodes are found by gossip; here the start itself asks until all see all.
    yield from ("-Dcassandra.ring_delay_ms=1", "-Dcassandra.skip_wait_for_gossip_to_settle=0")
    # With one copy of this keyspace a read of one token range is answered by one known node: see `Cassandra`.
    yield "-Dcassandra.system_distributed.default_rf=1"
    yield from ("-cp", f"{home}/conf:{jars}/*", "org.apache.cassandra.service.CassandraDaemon")
