"""Make people with keys, and a station whose recipe they sign."""

from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from appliance.governance.approval import key_pem, public_text
from appliance.schema.clocks import UtcNs
from appliance.schema.policy import Mode
from appliance.schema.recipe import Recipe

AT = UtcNs(1_795_000_000_000_000_000)
RECIPE = Recipe("lid", 3, ("top",), "lid-1", version=7, mode=Mode.PRIMARY)
PARALLEL = replace(RECIPE, version=1, mode=Mode.PARALLEL)

STATION = """\
[station]
name = "cell-4"
state = "{state}"
runtime = "{state}/run"

[mcu]
link = "/dev/mcu"
counts_per_mm = 10.0
gate_mm = 400.0
lead_mm = 25.0
belt_mm_s = 1000.0

[camera.top]
producer = "/opt/vendor.cti"
serial = "A1"
width_px = 640
height_px = 480
distance_mm = 30.0

[approval]
people = {{ QE1 = "{one}", QE2 = "{two}" }}
two_persons = {two_persons}

[parallel]
hours = 4
defects = 59
"""


@cache
def key_of(person: str) -> Ed25519PrivateKey:
    """Give a person's key, the same in every test."""
    return Ed25519PrivateKey.from_private_bytes(person.encode().ljust(32, b"."))


def people(*names: str) -> dict[str, str]:
    """Give what a station holds of people."""
    return {name: public_text(key_of(name)) for name in names or ("QE1", "QE2")}


def write_station(folder: Path, recipe: str, *, two_persons: bool = False) -> Path:
    """Write a station with a recipe, and the private keys of QE1, QE2 and MALLORY beside it; gives the station file."""
    keys = people()
    text = STATION.format(
        state=folder / "state", one=keys["QE1"], two=keys["QE2"], two_persons=str(two_persons).lower()
    )
    (folder / "station.toml").write_text(text, "utf-8")
    (folder / "recipe.toml").write_text(recipe, "utf-8")
    for person in ("QE1", "QE2", "MALLORY"):
        (folder / f"{person}.pem").write_bytes(key_pem(key_of(person)))
    return folder / "station.toml"
