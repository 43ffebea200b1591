"""Command lines in processes of their own that start at once: forked off one that has imported what they need.

What a test says of processes, as that they wait for each other or end by a signal, does not depend on how they began;
a cold start costs seconds of imports. This file is that process, too: a line of JSON on its standard input asks for a
process or for the end of one, a line on its standard output answers.
"""

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
# Without wandb, whose folder for media is made at its import and removed by the first process that ends.
NEEDED = (
    "tractprobe.commands.evaluate", "tractprobe.commands.train", "tractprobe.evidence.tables.summary",
    "tractprobe.probes.fitted", "tractprobe.probes.gradient.fit", "tractprobe.probes.linear.fit",
    "tractprobe.encoders.mel", "tractprobe.encoders.untrained", "tractprobe.runs.trainer", "pytorch_lightning",
    "tractprobe.runs.checkpoint", "matplotlib.backends.backend_agg", "scipy.signal",
    "tractprobe.commands.pretrain", "tractprobe.pretraining.fit", "tractprobe.raising",
)  # fmt: skip


class Process:
    """A started process, with its own session, as ``subprocess.Popen`` has it."""

    def __init__(self, warm: "Warm", pid: int, output: Path):
        self.pid, self.returncode = pid, None
        self._warm, self._output = warm, output

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._warm.ask(wait=self.pid)
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self.returncode is None:
            self.returncode = self._warm.ask(poll=self.pid)
        return self.returncode

    def printed(self) -> str:
        """Return what was written to standard output so far."""
        return (self._output / "stdout").read_text()

    def communicate(self) -> tuple[str, str]:
        """Wait, and return what was written to standard output and standard error."""
        self.wait()
        return tuple((self._output / name).read_text() for name in ("stdout", "stderr"))  # type: ignore[return-value]


class Warm:
    """Starts ``train.py`` and the like without importing anything again."""

    def __init__(self) -> None:
        self._outputs = tempfile.TemporaryDirectory(prefix="tractprobe-warm-")
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, **request: Any) -> Any:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(request) + "\n")
        return json.loads(self._server.stdout.readline())

    def start(self, line: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> Process:
        """Start a line without its interpreter: a script and its arguments."""
        output = Path(tempfile.mkdtemp(dir=self._outputs.name))
        (output / "stdout").touch()
        environment = dict(os.environ if environment is None else environment)
        request = {"line": list(map(str, line)), "cwd": str(cwd), "environment": environment, "output": str(output)}
        return Process(self, self.ask(start=request), output)

    def run(self, line: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        process = self.start(line, cwd)
        printed, complained = process.communicate()
        return subprocess.CompletedProcess(list(line), process.wait(), printed, complained)

    def close(self) -> None:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()
        self._outputs.cleanup()


def serve() -> dict[str, Any] | None:
    """Answer until there is nothing more to ask; in a process that was asked for, return what it is to do."""
    for line in sys.stdin:
        match json.loads(line):
            case {"wait": pid}:
                _, status = os.waitpid(pid, 0)
                answer = os.waitstatus_to_exitcode(status)
            case {"poll": pid}:
                ended, status = os.waitpid(pid, os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if ended else None
            case {"start": request}:
                if not (answer := os.fork()):
                    return request
        print(json.dumps(answer), flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Be the process that was asked for, as if it had just been started, and end without taking modules apart."""
    os.setsid()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        path = os.devnull if name == "stdin" else f"{request['output']}/{name}"
        opened = os.open(path, os.O_RDONLY if name == "stdin" else os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv[:] = request["line"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # as the interpreter does at its end, in this order
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    for module in NEEDED:
        __import__(module)
    gc.freeze()  # what is shared with the process that forks stays so
    if asked := serve():
        become(asked)
