"""Run a guarded OPC UA server in a thread, and make clients' certificates."""

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.config_plant import Opcua
from appliance.outputs.opcua_security import users
from appliance.outputs.opcua_security.certificates import application_uri, der, thumbprint
from appliance.outputs.opcua_security.folders import make_folders
from appliance.outputs.opcua_security.roles import Role
from appliance.outputs.opcua_security.security import Security, prepare
from appliance.outputs.opcua_security.server import PlantServer
from appliance.outputs.opcua_security.users import set_user
from appliance.schema.clocks import HostNs, UtcNs

URI = application_uri("site", "line", "station")
CLIENT_URI = "urn:foreign"
PASSWORDS = {"olga": "observes only", "otto": "operates only", "erna": "engineers all"}
ROLES = {"olga": Role.OBSERVER, "otto": Role.OPERATOR, "erna": Role.ENGINEER}
TIMEOUT_S = 60.0


@contextlib.contextmanager
def cheap_hashes() -> Iterator[None]:
    """Hash passwords quickly; `test_hashes_are_dear` holds what a station's cost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "COST", 2)
        yield


class WallClock:
    """Tell the computer's time."""

    def now(self) -> HostNs:
        return HostNs(time.monotonic_ns())

    def utc(self) -> UtcNs:
        return UtcNs(time.time_ns())


def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(
    own: rsa.RSAPrivateKey,
    uri: str = CLIENT_URI,
    *,
    issuer: x509.Certificate | None = None,
    signer: rsa.RSAPrivateKey | None = None,
    is_authority: bool = False,
    begins: datetime | None = None,
    days: int = 30,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    common_name: str = "",
) -> x509.Certificate:
    """Make a client's certificate, self-signed unless an issuer is given."""
    begins = begins or datetime.now(UTC) - timedelta(hours=1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or uri)])
    usage = x509.KeyUsage(True, True, True, True, False, True, is_authority, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .sign(signer or own, hashes.SHA256())
    )


class Client:
    """Hold a client's key and certificate as files."""

    def __init__(
        self, folder: Path, made: x509.Certificate | None = None, own: rsa.RSAPrivateKey | None = None
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.key = own or key()
        self.made = made or certificate(self.key)
        (folder / "client.pem").write_bytes(self.made.public_bytes(serialization.Encoding.PEM))
        (folder / "client.der").write_bytes(der(self.made))
        (folder / "key.pem").write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.made)

    def trust_by_hand(self, root: Path) -> None:
        shutil.copy(self.folder / "client.der", make_folders(root).trusted / f"{self.thumbprint}.der")


Furnish = Callable[[PlantServer, Security], Awaitable[None]]


class GuardedStation:
    """Run a server with its security in a thread of its own."""

    def __init__(self, root: Path, furnish: Furnish, settings: Opcua | None = None, pending_s: float = 2.0) -> None:
        self.root = root
        self.settings = settings or Opcua(host="127.0.0.1", name="127.0.0.1")
        self._furnish = furnish
        self._pending_s = pending_s
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self.security = prepare(root, URI, "127.0.0.1", self.settings, WallClock())
        self.port = 0
        self._thread = threading.Thread(target=self._serve, name="opcua-rig")

    def start(self) -> None:
        self._ready.clear()
        self._thread = threading.Thread(target=self._serve, name="opcua-rig")
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)

    def stop(self) -> None:
        assert self._stop is not None
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_S)

    def close(self) -> None:
        self.loop.close()

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def ask(self, question: Callable[[], Any]) -> Any:
        """Ask something in the server's thread."""

        async def asked() -> Any:
            return question()

        return asyncio.run_coroutine_threadsafe(asked(), self.loop).result(TIMEOUT_S)

    def do(self, work: Awaitable[Any]) -> Any:
        """Let the server's thread await something."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)  # type: ignore[arg-type]

    def held(self) -> dict[str, int]:
        """Count what clients hold: sessions, connections, subscriptions, and the loop's tasks."""
        server = self.server

        def count() -> dict[str, int]:
            return {
                "sessions": server.sessions,
                "connections": server.connections,
                "subscriptions": server.subscriptions,
                "transports": len(server.iserver.asyncio_transports),
                "tasks": len([task for task in asyncio.all_tasks() if not task.done()]),
            }

        return self.ask(count)

    def settled(self, wanted: dict[str, int], seconds: float) -> dict[str, int]:
        """Give the counts named in `wanted` once they are as wanted, or after a time."""
        until = time.monotonic() + seconds
        while True:
            held = self.held()
            found = {name: held[name] for name in wanted}
            if found == wanted or time.monotonic() >= until:
                return found
            time.sleep(0.05)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._run())
        asyncio.set_event_loop(None)

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        self.server = self.security.make_server()
        self.server.iserver.max_pending_activation_seconds = self._pending_s
        await self.server.init()
        await self.security.apply(self.server)
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}")
        await self._furnish(self.server, self.security)
        await self.server.start()
        self.port = self.server.bserver.port
        self._ready.set()
        await self._stop.wait()
        await self.server.stop()


def add_people(root: Path) -> None:
    for name, password in PASSWORDS.items():
        set_user(make_folders(root).root, name, ROLES[name], password, "person-1", UtcNs(time.time_ns()))


async def furnish_probe(server: PlantServer, security: Security) -> None:
    """Add a variable that says it is writable, and one method for each role."""
    space = await server.register_namespace("urn:probe")
    objects = server.nodes.objects
    probe = await objects.add_object(ua.NodeId("probe", space), f"{space}:Probe")
    value = await probe.add_variable(ua.NodeId("probe.value", space), f"{space}:Value", 7)
    await value.set_writable()
    for role in Role:

        def method_of(needed: Role) -> Callable[..., Awaitable[Any]]:
            async def method(_parent: Any, *_arguments: Any) -> list[ua.Variant]:
                return [ua.Variant(security.require(needed).actor)]

            return method

        await probe.add_method(
            ua.NodeId(f"probe.{role.value}", space),
            f"{space}:{role.value}",
            method_of(role),
            [],
            [ua.VariantType.String],
        )
