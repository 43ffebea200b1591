"""Uploads to a W&B server, openwandb on the loopback: on demand, by tests/services/wandb.sh."""

import os
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

import tractprobe.jobs
import tractprobe.runs.wandb_runs
from tractprobe.cli import main
from tractprobe.jobs import train

SERVER = os.environ.get("OPENWANDB", "")
KEY = "local0000000000000000000000000000000000000000"  # which the server prints as it starts
MLP = ["model=mel_frame", "head=mlp", "head.hidden=8", "trainer.max_epochs=2"]
pytestmark = [
    pytest.mark.skipif(not os.path.isfile(SERVER), reason="no openwandb: tests/services/wandb.sh installs it"),
    pytest.mark.filterwarnings("default"),
]

Configure = Callable[..., Any]


class Server:
    """A server that can be killed, and started again with what it had."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.folder = f"http://127.0.0.1:{self.port}", folder
        self.start()

    def start(self) -> None:
        command = [SERVER, "serve", "--host", "127.0.0.1", "--port", str(self.port), "--data-dir", str(self.folder)]
        with open(self.folder.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while True:
            assert self.process.poll() is None, self.folder.with_suffix(".log").read_text()
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def rows(self, table: str) -> list[dict[str, Any]]:
        with sqlite3.connect(self.folder / "openwandb.db") as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(f"select * from {table}")]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that W&B is told of, and a client that has heard of no other."""
    server = Server(tmp_path / "server")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "20")
    monkeypatch.setattr(tractprobe.runs.wandb_runs, "_gone", [])
    wandb.teardown()
    yield server
    wandb.teardown()
    server.kill()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and record.name.startswith("tractprobe")
    ]


def test_an_online_run_arrives_and_its_next_attempt_is_the_same_run(
    configure: Configure, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    train(configure("held_out=it", *MLP, "tracking=online", "tracking.tags=[pilot]", "tracking.notes=a try"))
    (result,) = (tmp_path / "runs").rglob("result.json")
    (run,) = server.rows("runs")
    assert run["state"] == "finished" and "pilot" in str(run) and "a try" in str(run)
    artifacts = [row["name"] for row in server.rows("artifacts")]
    assert len(artifacts) == len(set(artifacts)) == 3  # two tables and the heads, each of them once
    metrics = len(server.rows("metrics"))
    assert metrics
    result.unlink()
    train(configure("held_out=it", *MLP, "tracking=online"))
    (again,) = server.rows("runs")
    assert again["state"] == "finished" and len(server.rows("metrics")) > metrics
    assert not warnings(caplog)


def test_offline_runs_are_uploaded_at_once(configure: Configure, server: Server, tmp_path: Path):
    train(configure("held_out=all", "model=mel_frame", "tracking=offline"))
    assert not server.rows("runs")
    assert main(["wandb-sync", str(tmp_path / "runs")]) == 0
    runs = server.rows("runs")
    assert len(runs) == 4 and {run["state"] for run in runs} == {"finished"}


def test_a_server_that_is_killed_in_mid_run_costs_one_line(
    configure: Configure, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    fit = tractprobe.jobs._fit

    def fit_and_kill(*arguments: Any) -> Any:
        fitted = fit(*arguments)
        server.kill()
        return fitted

    with monkeypatch.context() as killing:
        killing.setattr(tractprobe.jobs, "_fit", fit_and_kill)
        train(configure("held_out=it", *MLP, "tracking=online"))
    assert len(list((tmp_path / "runs").rglob("result.json"))) == 1
    (line,) = warnings(caplog)
    assert "logging offline, `tractprobe wandb-sync` uploads it later" in line and "\n" not in line
    server.start()
    assert main(["wandb-sync", str(tmp_path / "runs")]) == 0
    (run,) = server.rows("runs")
    assert run["state"] == "finished"
    assert {"run_table", "head"} <= {row["artifact_type"] for row in server.rows("artifacts")}
    assert not list((tmp_path / "runs").rglob("not-uploaded.json"))


def test_a_server_that_is_not_there_costs_one_line_a_run(
    configure: Configure, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    server.kill()
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "5")
    train(configure("held_out=it", "model=mel_frame", "tracking=online"))
    assert len(warnings(caplog)) == 1 and len(list((tmp_path / "runs").rglob("result.json"))) == 1
    assert len(list((tmp_path / "runs").rglob("wandb/offline-run-*"))) == 1
