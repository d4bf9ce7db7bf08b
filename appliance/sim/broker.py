"""Start an MQTT broker beside a simulated station: Mosquitto where it is installed, else an embedded one.

`python -m appliance.sim.broker PORT` is the embedded broker's process; it speaks MQTT 3.1.1 only and keeps nothing.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from appliance.schema.errors import ConfigError, LinkError

MOSQUITTO = "mosquitto"
EMBEDDED = "amqtt"
START_S = 15.0
STOP_S = 5.0

_MOSQUITTO_CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
{extra}
"""
"""Without autosave a killed broker loses messages that it acknowledged."""


class Broker:
    """Own one broker process on a free loopback port; its folder keeps what Mosquitto persists."""

    def __init__(self, folder: Path, kind: str = "", access_list: str = "") -> None:
        """`kind`: MOSQUITTO, EMBEDDED, or "" for the best there is; `access_list`: lines of a Mosquitto ACL file."""
        self.kind = kind or (MOSQUITTO if mosquitto_path() else EMBEDDED)
        if self.kind == MOSQUITTO and not mosquitto_path():
            raise ConfigError("mosquitto: not installed, 1 broker is needed; install it or use the embedded one")
        if access_list and self.kind != MOSQUITTO:
            raise ConfigError(f"access list: {self.kind} takes none; install mosquitto")
        self.port = _free_port()
        self._folder = folder
        self._access_list = access_list
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the process and wait until it takes connections; LinkError when it does not."""
        command = self._mosquitto() if self.kind == MOSQUITTO else _embedded(self.port)
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "broker.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline = time.monotonic() + START_S
        while not _takes_connections(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise LinkError(f"broker {self.kind}: port {self.port} not open within {START_S} s; see {self._log}")
            time.sleep(0.02)

    def allow(self, access_list: str) -> None:
        """Replace Mosquitto's access list while it runs."""
        (self._folder / "acl").write_text(access_list)
        os.kill(self.pid, signal.SIGHUP)

    def kill(self) -> None:
        """End the process as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End the process in order."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def _log(self) -> Path:
        return self._folder / "broker.log"

    def _mosquitto(self) -> list[str]:
        self._folder.mkdir(parents=True, exist_ok=True)
        extra = "user root\n" if os.geteuid() == 0 else ""
        if self._access_list:
            (self._folder / "acl").write_text(self._access_list)
            extra += f"acl_file {self._folder}/acl\n"
        config = self._folder / "mosquitto.conf"
        config.write_text(_MOSQUITTO_CONFIG.format(port=self.port, folder=self._folder, extra=extra))
        return [mosquitto_path(), "-c", str(config)]


def mosquitto_path() -> str:
    """Find Mosquitto; "" when it is not installed. Debian puts it where only root looks."""
    return shutil.which(MOSQUITTO, path=f"{os.defpath}:/usr/sbin:/usr/local/sbin") or ""


def serve(port: int) -> None:
    """Run the embedded broker until SIGTERM; blocks."""
    asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    from amqtt.broker import Broker as Embedded  # noqa: PLC0415  heavy, and only this process needs it

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Embedded(config)
    await broker.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await broker.shutdown()


def _embedded(port: int) -> list[str]:
    return [sys.executable, "-m", "appliance.sim.broker", str(port)]


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _takes_connections(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    serve(int(sys.argv[1]))
