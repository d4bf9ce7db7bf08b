"""List the cameras that a station's producers see."""

from pathlib import Path

from appliance.cameras.genicam import Producer
from appliance.config import Loaded

COLUMNS = ("serial", "vendor", "model", "user_id", "access")


def render(loaded: Loaded) -> str:
    """Give a table of all cameras that the configured producers see, with the view each is bound to.

    CameraError and ConfigError name a producer that is missing or does not start; a folder that is replayed is none.
    """
    views = {camera.serial: name for name, camera in loaded.config.camera.items()}
    rows: list[tuple[str, ...]] = [("view", *COLUMNS)]
    producers = {camera.producer: name for name, camera in loaded.config.camera.items()}
    for path, name in sorted(producers.items()):
        if Path(path).is_dir():
            continue
        producer = Producer(name, path)
        try:
            rows += [
                (views.get(device["serial"], "-"), *(device[name] for name in COLUMNS)) for device in producer.seen()
            ]
        finally:
            producer.close()
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
