"""A server that cannot start says why and what to do, with exit code 2; a disk that fills up later loses nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import wfe
from conftest import WFE, Server, environment_in
from wfe.limits import RESTART_INTENSITY


@pytest.fixture(scope="module")
def app() -> Path:
    return Path(__file__).parent / "bad_input_tasks.py"


def serve(data: Path, *options: str, limit: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """A server that is expected to refuse to start."""
    return subprocess.run(
        [*WFE, "serve", "--data", str(data), "--listen", "tcp://127.0.0.1:0", *options],
        env=environment_in(data.parent),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=limit,
    )


def refuses(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr, done.stderr
    assert not [text for text in says if text not in done.stderr], done.stderr


class TestStarting:
    def test_a_data_directory_in_use_is_refused(self, server: Server) -> None:
        refuses(serve(server.data), "another server", str(server.data), "--data")
        assert server.json("start", "echo", "-i", '"after"', "--wait")["output"] == "after"

    def test_a_port_in_use_is_refused(self, server: Server, tmp_path: Path) -> None:
        refuses(serve(tmp_path / "data", "--listen", server.address), server.address, "in use", "--listen")
        assert server.json("start", "echo", "-i", '"after"', "--wait")["output"] == "after"

    def test_dev_ends_at_once_when_no_change_of_a_file_would_help(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "app.py").write_text("import wfe\n\n@wfe.task\ndef one() -> int:\n    return 1\n")

        def dev(app: str, address: str) -> subprocess.CompletedProcess[str]:
            line = [*WFE, "dev", app, "--http", "off", "--listen", address]
            environ = environment_in(tmp_path)
            return subprocess.run(
                line, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
            )

        refuses(dev("app.py", server.address), server.address, "in use", "--listen")
        refuses(dev("nope.py", "tcp://127.0.0.1:0"), "nope.py: there is no such file")

    def test_dev_waits_when_the_app_has_a_mistake(self, tmp_path: Path) -> None:
        (tmp_path / "app.py").write_text("import wfe\n\n@wfe.task\n")
        line = [*WFE, "dev", "app.py", "--http", "off", "--listen", "tcp://127.0.0.1:0"]
        with subprocess.Popen(
            line, cwd=tmp_path, env=environment_in(tmp_path), stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert any(said == "wfe: waiting for a change\n" for said in process.stderr)
            process.terminate()
            assert process.wait(30) == 2

    def test_a_file_in_the_place_of_the_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("x")
        refuses(serve(tmp_path / "data"), str(tmp_path / "data"))

    def test_data_of_a_newer_format_is_refused_and_stays_as_it_is(
        self, start_server: Callable[..., Server], tmp_path: Path
    ) -> None:
        server = start_server(data=tmp_path / "data")
        server.stop()
        file = tmp_path / "data" / "format"
        assert int(file.read_text()) < 99
        file.write_text("99\n")
        refuses(serve(tmp_path / "data"), "newer", "99")
        assert file.read_text() == "99\n"

    @pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/sys").exists(), reason="root may write everywhere")
    def test_a_directory_that_cannot_be_written_is_refused(self, tmp_path: Path) -> None:
        if os.geteuid() == 0:  # the mode does not stop root, a read-only file system does
            refuses(serve(Path("/proc/wfe-data")), "/proc/wfe-data")
            return
        (tmp_path / "data").mkdir(mode=0o500)
        refuses(serve(tmp_path / "data"), str(tmp_path / "data"), "not be written")

    def test_an_unknown_option_value_is_refused(self, tmp_path: Path) -> None:
        refuses(serve(tmp_path / "data", "--listen", "http://nowhere"), "http://nowhere", "tcp://")
        refuses(serve(tmp_path / "data", "--shards", "0"))

    def test_more_shards_than_partitions_are_refused_before_the_partitions_are_fixed(self, tmp_path: Path) -> None:
        refuses(serve(tmp_path / "data", "--shards", "5", "--partitions", "4"), "5 shards", "--partitions 5")
        assert not (tmp_path / "data").exists()

    def test_a_disk_that_is_full_from_the_start_is_refused(self, tmp_path: Path) -> None:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

        refuses(serve(tmp_path / "data", limit=limit), "space")

    @pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes are Linux's")
    def test_a_disk_that_fills_up_stops_the_shard_until_there_is_room_and_loses_nothing(
        self, start_server: Callable[..., Server], app: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A limit on the size of files stands in for the disk: the next writes beyond it fail."""
        server = start_server("--workers", "1", "--partitions", "2", "--app", str(app), data=tmp_path / "data")
        token = (server.data / "token").read_text().strip()
        acknowledged: list[str] = []
        with wfe.connect(server.address, token) as client:
            limit_sizes(server.pid, client.status().shards[0].pid, 20 * MEBIBYTE)
            filler = threading.Thread(target=fill, args=(server.address, token, acknowledged))
            filler.start()
            while client.status().shards[0].restarts <= RESTART_INTENSITY:
                assert client.status().shards[0].state != "down"
                time.sleep(0.05)
            assert len(acknowledged) < FILLING
            limit_sizes(server.pid, client.status().shards[0].pid, resource.RLIM_INFINITY)
            filler.join()
            for run_id in acknowledged:
                assert len(client.handle(run_id).result(timeout_s=60)) == MEBIBYTE
        assert len(acknowledged) == FILLING
        assert "no space left on its disk; make room" in capfd.readouterr().err
        assert server.stop() == 0


MEBIBYTE = 1 << 20
FILLING = 40


def limit_sizes(server: int, shard: int, size_bytes: int) -> None:
    """Of files that the server, its shard and the shards after it write."""
    for pid in (server, shard):
        if pid:
            with contextlib.suppress(ProcessLookupError):  # the shard has just ended
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def fill(address: str, token: str, acknowledged: list[str]) -> None:
    """Starts large runs one after the other, each until it is acknowledged."""
    with wfe.connect(address, token) as client:
        for number in range(FILLING):
            while True:
                try:
                    run = client.start("echo", "x" * MEBIBYTE, key=f"fill-{number}")
                except (wfe.Unavailable, wfe.Disconnected):
                    continue
                acknowledged.append(run.id)
                break
