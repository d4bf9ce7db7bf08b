"""Run the real OPC UA server as a station does, and the Node programs against it."""

import asyncio
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from appliance.config_plant import Opcua
from appliance.outputs.opcua.messages import (
    AcquisitionDone,
    Answered,
    JobEnded,
    JobStarted,
    Snapshot,
    StateChanged,
    Wish,
)
from appliance.outputs.opcua.server import OpcuaServer
from appliance.outputs.opcua.states import Cause, machine, transitions
from appliance.outputs.opcua_security.security import prepare
from appliance.schema.clocks import HostNs
from appliance.schema.command import AbortJob, HaltLine, PrepareRecipe, ResetFault, StartJob, StopJob
from appliance.schema.line import JobMode
from appliance.schema.part import PartId
from tests.contract.opcua_rig import CLIENT_URI, PASSWORDS, TIMEOUT_S, URI, Client, WallClock
from tests.unit.opcua_rig import IDENTITY, UTC_NOW, line_state, result

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "foreign"
MODULES = ROOT / "build" / "foreign" / "node_modules"


def need_node() -> None:
    """Skip where the foreign clients are not installed."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    if not (MODULES / "node-opcua-client").is_dir():
        pytest.skip("build/foreign has no node-opcua-client: ./firstshift test installs it")


def node(program: str, url: str, client: Client, user: str = "", **options: Any) -> dict[str, Any]:
    """Run a Node program and give its answer."""
    process = start_node(program, url, client, user, **options)
    told, fault = process.communicate(timeout=options.get("limit_s", 20) + 20)
    found = _answers(told)
    assert found, told + fault
    return found[-1]


def start_node(program: str, url: str, client: Client, user: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start a Node program."""
    asked = {"url": url, "folder": str(client.folder / "pki")} | _identity(client, user) | options
    return subprocess.Popen(
        ["node", "--no-deprecation", str(PROGRAMS / f"{program}.js"), json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )


def next_answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Give the next answer of a program that goes on; what the library says on the same pipe is passed over."""
    assert process.stdout is not None
    for line in process.stdout:
        found = _answers(line)
        if found:
            return found[0]
    raise EOFError(process.stderr.read() if process.stderr is not None else "")


class SignIns:
    """Let node-opcua sign in, try by try, from one process: to start one takes a second."""

    def __init__(self, url: str, client: Client) -> None:
        self._client = client
        self._process = start_node("opcua_sign_in", url, client)

    def __call__(self, user: str = "", client: Client | None = None, **options: Any) -> dict[str, Any]:
        """Give what the server answered."""
        assert self._process.stdin is not None
        asked = _identity(client or self._client, user) | options
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return next_answer(self._process)

    def close(self) -> None:
        self._process.communicate(timeout=TIMEOUT_S)


def _identity(client: Client, user: str) -> dict[str, Any]:
    return {
        "certificate": str(client.folder / "client.pem"),
        "key": str(client.folder / "key.pem"),
        "application_uri": CLIENT_URI,
        "user": user,
        "password": PASSWORDS.get(user, ""),
    }


def _answers(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


SYSTEM = "ns=3;s=VisionSystem"
MACHINE = f"{SYSTEM}.VisionStateMachine"
AUTOMATIC = f"{MACHINE}.AutomaticModeStateMachine"


class PlantStation:
    """Run the real server with its security, and answer clients' wishes as `line` would, from a thread."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.settings = Opcua(host="127.0.0.1", name="127.0.0.1", **settings)
        self.port = 0
        self.wishes: list[StartJob | StopJob | AbortJob | HaltLine | ResetFault | PrepareRecipe] = []

    def start(self) -> None:
        """Serve; the same port again after a stop."""
        self.security = prepare(self.root, URI, "127.0.0.1", self.settings, WallClock())
        self.server = OpcuaServer(self.settings, IDENTITY, self.security, port=self.port)
        self.port = self.server.port
        line = line_state(mode=JobMode.IDLE)
        self.server.write(Snapshot(machine(line), line), HostNs(0))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="opcua-line")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S)
        self.server.close()

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def held(self) -> dict[str, int]:
        """Count what clients hold, and the tasks of the server's loop."""
        server = self.security._server

        async def count() -> dict[str, int]:
            assert server is not None
            return {
                "sessions": server.sessions,
                "connections": server.connections,
                "subscriptions": server.subscriptions,
                "transports": len(server.iserver.asyncio_transports),
                "tasks": len([task for task in asyncio.all_tasks() if not task.done()]),
                "sockets": sum(1 for one in Path("/proc/self/fd").iterdir() if _is_socket(one)),
            }

        return asyncio.run_coroutine_threadsafe(count(), self.server._loop).result(TIMEOUT_S)

    def settled(self, wanted: dict[str, int], seconds: float) -> dict[str, int]:
        """Give what is held once it is as wanted, or after a time."""
        until = time.monotonic() + seconds
        while (found := self.held()) != wanted and time.monotonic() < until:
            time.sleep(0.05)
        return found

    def _play(self) -> None:
        while not self._stop.wait(0.01):
            for message in self.server.read(HostNs(0)):
                if isinstance(message, Wish):
                    self.wishes.append(message.command)
                    self._obey(message)

    def _obey(self, wish: Wish) -> None:
        """Grant a job, inspect one part, fall into an error and out of it again."""
        at, job = UTC_NOW, "job-1"
        said: list[Struct] = [Answered(wish.ticket, True, job)]
        if isinstance(wish.command, StartJob):
            ready, runs = machine(line_state(mode=JobMode.IDLE)), machine(line_state(mode=JobMode.SINGLE))
            faulty = machine(line_state(mode=JobMode.IDLE, error=3))
            said += [StateChanged(step, at) for step in transitions(ready, runs, Cause.METHOD)]
            said += [JobStarted(job, at), AcquisitionDone(PartId(0xC0FFEE, 7), job, at)]
            said += [StateChanged(step, at) for step in transitions(runs, ready)]
            said += [StateChanged(step, at, "gate is stuck") for step in transitions(ready, faulty)]
            said += [StateChanged(step, at) for step in transitions(faulty, ready, Cause.METHOD)]
            said += [JobEnded(job, at), result(7, job=job, measurement=wish.command.measurement)]
        for message in said:
            self.server.write(message, HostNs(0))


def _is_socket(descriptor: Path) -> bool:
    try:
        return descriptor.readlink().name.startswith("socket:")
    except OSError:
        return False
