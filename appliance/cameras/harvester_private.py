"""Reach into two pinned libraries for what they keep to themselves: native handles, the description, a clean end.

Each name used here is private or undocumented; another version may rename it, so versions are compared before use.
"""

from importlib.metadata import version
from typing import Any

from appliance.schema.errors import CameraError

PINNED = {"harvesters": "1.4.3", "genicam": "1.6.0"}


def check_versions() -> None:
    """Raise CameraError unless the libraries are the ones this file was written for."""
    for package, pinned in PINNED.items():
        installed = version(package)
        if installed != pinned:
            raise CameraError(
                f"{package} {installed} is installed, {pinned} is needed; run pip install {package}=={pinned}"
            )


def stream_handles(acquirer: Any) -> tuple[int, int]:
    """Give the native handles of an acquirer's first data stream and of its new-buffer event.

    Owned by the acquirer; valid until it is destroyed.
    """
    stream = acquirer._data_streams[0]  # noqa: SLF001
    event = acquirer._new_buffer_event_monitor_dict[stream]  # noqa: SLF001
    return int(stream.module._handle), int(event.handle)  # noqa: SLF001


def destroy(acquirer: Any) -> None:
    """Destroy an acquirer so that its memory is freed too.

    Both libraries register a finalizer on a bound method, which keeps its object, and so the whole node map (235 kB for
    a small camera), until the process ends; running the finalizers themselves ends that.
    """
    acquirer._chunk_adapter._finalizer()  # noqa: SLF001
    with acquirer:
        pass


def device_description(acquirer: Any) -> bytes:
    """Read the camera's XML description, plain or zipped; empty when it is not kept on the device."""
    port = acquirer.remote_device.port
    location, _, rest = port.url_info_list[0].url.partition(":")
    if location.lower() != "local":
        return b""
    _, address, size = rest.split(";")
    return bytes(port.read(int(address, 16), int(size.split("?")[0], 16))[1])


def loaded_producers(harvester: Any) -> int:
    """Count the producers that initialised; `Harvester.update` only logs those that do not."""
    return len(harvester._systems)  # noqa: SLF001
