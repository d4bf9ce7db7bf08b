"""Measure how many results per second the OPC UA server tells one encrypted, signed-in client, and how old they arrive.

    python -m bench.opcua

Prints a table and writes bench/results/opcua.json. The server runs in a process of its own, as the service does, and is
given results at a steady rate; the client is node-opcua, an independent implementation, on the same computer. Latency
runs from the instant a result is given to the server to its arrival in the client, in whole milliseconds of the same
wall clock; the publishing interval of 50 ms is most of it. Needs build/foreign, which `./firstshift test` sets up.
"""

import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.config_plant import Opcua
from appliance.outputs.opcua.messages import ResultReady, Served
from appliance.outputs.opcua.server import OpcuaServer
from appliance.outputs.opcua_security.certificates import der
from appliance.outputs.opcua_security.folders import make_folders
from appliance.outputs.opcua_security.roles import Role
from appliance.outputs.opcua_security.security import prepare
from appliance.outputs.opcua_security.users import set_user
from appliance.outputs.part_report import Identity, PartReport
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.services._loop import SystemClock
from bench.fingerprint import fingerprint

ROOT = Path(__file__).parent.parent
MODULES = ROOT / "build" / "foreign" / "node_modules"
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
RATES_HZ = (10, 50, 200, 1000, 2000)
"""Results per second; a line makes 1 to 50."""
PLENTY_HZ = 4000
"""More than one subscriber's queue of 1,000 bears on a busy machine: what is lost must be counted."""
WARM_HZ = 20
WARM_STEPS = 5
WARM_MS = 300
"""The client reads the types of what it receives first: steps are not told until it keeps up."""
STEP_S = 5.0
SLOT_S = 0.005
SETTLE_S = 1.0
"""After a step everything that was told has arrived: twenty publishing intervals."""
URI = "urn:bench"
USER = "bench"
IDENTITY = Identity("insp/v1/site/line/station", "recipe", "ab" * 32, "sha256:" + "cd" * 32, 60, os.getpid())


def result_of(number: int) -> ResultReady:
    """Give the result of an accepted part."""
    at = UtcNs(time.time_ns())
    part = PartId(1, number)
    told = PartReport(
        part=part,
        result_id=f"{IDENTITY.station}/{part}",
        lane=Lane.ACCEPT,
        cause=Cause.ACCEPTED,
        disposition=Disposition.ACCEPT,
        verdict=Disposition.ACCEPT,
        reasons=("within_limits",),
        bundle="sha256:" + "ef" * 32,
        precision="bf16",
        recipe="recipe",
        recipe_sha256="ab" * 32,
        score=0.25,
        latency_ms=12.5,
        entered=UtcNs(at - 100_000_000),
        decided=UtcNs(at - 50_000_000),
        actuated=at,
        replayed=False,
    )
    return ResultReady(told, at, job="job-1", measurement=f"m-{number}")


def serve(folder: Path) -> None:
    """Be the server: each line of the input is a rate to tell results at for STEP_S."""
    began = time.monotonic()
    settings = Opcua(host="127.0.0.1", name="127.0.0.1")
    security = prepare(folder, "urn:firstshift:bench", "127.0.0.1", settings, SystemClock())
    server = OpcuaServer(settings, IDENTITY, security, port=0)
    say({"port": server.port, "start_s": round(time.monotonic() - began, 2), "memory_mb": memory_mb()})
    number, counts = 0, Served(0)
    for line in sys.stdin:
        rate, before = float(line), counts
        cpu, count = time.process_time(), int(float(line) * STEP_S)
        first, due = number, time.monotonic()
        while number < first + count:
            until = min(count, int((time.monotonic() - due) * rate) + 1)
            while number < first + until:
                number += 1
                server.write(result_of(number), HostNs(0))
            time.sleep(SLOT_S)
            for message in server.read(HostNs(0)):
                counts = message if isinstance(message, Served) else counts
        took = time.monotonic() - due
        time.sleep(SETTLE_S)
        for message in server.read(HostNs(0)):
            counts = message if isinstance(message, Served) else counts
        say(
            {
                "given": count,
                "given_per_s": round(count / took, 1),
                "dropped": counts.dropped - before.dropped,
                "overflowed": counts.overflowed - before.overflowed,
                "server_cpu_share": round((time.process_time() - cpu) / (took + SETTLE_S), 3),
                "server_cpu_us_per_result": round((time.process_time() - cpu) / count * 1e6, 1),
                "memory_mb": memory_mb(),
            }
        )
    server.close()


def say(told: dict[str, Any]) -> None:
    """Answer the parent in one line."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def memory_mb() -> float:
    """Give this process's largest resident memory, MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def make_client(folder: Path) -> Path:
    """Make the client's key and certificate, and let the server trust it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI)]), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    client = folder / "client"
    client.mkdir()
    (client / "client.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (client / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (make_folders(folder / "opcua").trusted / "bench.der").write_bytes(der(made))
    return client


class Told:
    """Read the JSON lines of a process, past what its libraries say."""

    def __init__(self, arguments: list[str], **environment: str) -> None:
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )

    def following(self) -> dict[str, Any]:
        """Wait for the next answer."""
        if self._process.stdout is None:
            raise OSError("no pipe to the process")
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise TimeoutError("the process ended without an answer")

    def ask(self, line: str) -> dict[str, Any]:
        """Say a line and wait for the answer."""
        if self._process.stdin is None:
            raise OSError("no pipe to the process")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.following()

    def close(self, line: str = "") -> None:
        """Say a last line and wait for its end."""
        self._process.communicate(f"{line}\n" if line else None, timeout=30)


def measure(folder: Path, client: Path, password: str) -> dict[str, Any]:
    """Run all rates with the first policy, and one rate with the others."""
    server = Told([sys.executable, "-m", "bench.opcua", "--server", str(folder / "opcua")])
    told: dict[str, Any] = {"server": server.following(), "steps": []}
    for policy in POLICIES:
        asked = {
            "url": f"opc.tcp://127.0.0.1:{told['server']['port']}",
            "folder": str(folder / "pki"),
            "certificate": str(client / "client.pem"),
            "key": str(client / "key.pem"),
            "application_uri": URI,
            "user": USER,
            "password": password,
            "policy": policy,
            "limit_s": 600,
        }
        program = str(ROOT / "tests" / "foreign" / "opcua_load.js")
        listener = Told(["node", program, json.dumps(asked)], NODE_PATH=str(MODULES))
        if not listener.following().get("ready"):
            raise ConnectionError("the client could not subscribe")
        for _ in range(WARM_STEPS):
            server.ask(str(WARM_HZ))
            if (listener.ask("summary")["max_ms"] or WARM_MS) < WARM_MS:
                break
        rates = RATES_HZ if policy == POLICIES[0] else (1000, PLENTY_HZ) if policy == POLICIES[-1] else (1000,)
        for rate in rates:
            step = server.ask(str(rate)) | listener.ask("summary")
            step |= {"policy": policy, "offered_per_s": rate, "lost": step["given"] - step["received"]}
            step["uncounted"] = step["lost"] - step["dropped"] - step["overflowed"]
            told["steps"].append(step)
        listener.close("stop")
    server.close()
    del told["server"]["port"]
    return told


def main() -> None:
    if shutil.which("node") is None or not (MODULES / "node-opcua-client").is_dir():
        raise SystemExit("node-opcua-client is missing: ./firstshift test sets it up")
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as name:
        folder, password = Path(name), secrets.token_hex()
        client = make_client(folder)
        set_user(make_folders(folder / "opcua").root, USER, Role.OBSERVER, password, "bench", UtcNs(time.time_ns()))
        told = measure(folder, client, password)
    told |= {"load_before": load, "load_after": os.getloadavg(), "machine": fingerprint()}
    for step in told["steps"]:
        print(
            f"{step['policy']:22} {step['given_per_s']:6.0f}/s given, {step['lost']:5} lost, {step['uncounted']} "
            f"uncounted, p50 {step['p50_ms']:4} ms, p99 {step['p99_ms']:4} ms, server {step['server_cpu_share']:6.1%}"
        )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "opcua.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--server"]:
        serve(Path(sys.argv[2]))
    else:
        main()
