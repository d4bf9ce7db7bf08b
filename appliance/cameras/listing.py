"""List the cameras that a station's producers see."""

from pathlib import Path

from appliance.cameras.genicam import Producer
from appliance.config import Loaded

COLUMNS = ("serial", "vendor", "model", "user_id", "access")


def render(loaded: Loaded) -> str:
    """Give a table of all cameras that the configured producers see, with the view each is bound to."""
    views = {camera.serial: name for name, camera in loaded.config.camera.items()}
    rows: list[tuple[str, ...]] = [("view", *COLUMNS)]
    for path in sorted(
        {camera.producer for camera in loaded.config.camera.values() if Path(camera.producer).is_file()}
    ):
        producer = Producer("list", path)
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
