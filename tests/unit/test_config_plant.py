"""Protect the plant's tables of the station file: what contradicts itself is refused with key, value and remedy."""

from pathlib import Path

import pytest

from appliance.config import load
from appliance.schema.errors import ConfigError
from tests.unit.approval_rig import write_station

RECIPE = 'name = "lid"\nnumber = 3\nviews = ["top"]\nbundle = "lid-1"\n'


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[plc]\nallow = ["192.168.0.300"]', "plc.allow: '192.168.0.300' is no address or network"),
        ('[plc]\ntrigger = "plc"\nrequired = false', "plc.required: false, plc.trigger is 'plc'"),
        (
            '[mqtt]\nhost = "b"\nca = "ca.pem"\ncertificate = "own.pem"',
            "mqtt.key: missing, mqtt.certificate is 'own.pem'",
        ),
        ('[mqtt]\nhost = "b"\nkey = "own.key"', "mqtt.certificate: missing, mqtt.key is 'own.key'"),
        ('[mqtt]\nhost = "b"\ncertificate = "o.pem"\nkey = "o.key"', "mqtt.ca: missing, mqtt.certificate is 'o.pem'"),
        ('[sparkplug]\ngroup = "plant"', "mqtt.host: empty, sparkplug.group is 'plant'"),
        ('[mqtt]\nhost = "b"\n[sparkplug]\ngroup = "a/b"', "sparkplug.group: 'a/b' holds one of + # /"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, table: str, said: str) -> None:
    """One line names the key and what to do, before a service starts on it."""
    path = write_station(tmp_path, RECIPE)
    path.write_text(f"{path.read_text('utf-8')}\n{table}\n", "utf-8")

    with pytest.raises(ConfigError) as raised:
        load(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_what_fits_together_is_taken(tmp_path: Path) -> None:
    """Networks, client certificates and a Sparkplug node of a group load as they stand."""
    path = write_station(tmp_path, RECIPE)
    table = (
        '[plc]\nallow = ["10.1.0.0/24", "fd00::1"]\n[mqtt]\nhost = "b"\nca = "c"\ncertificate = "o"\nkey = "k"\n'
        '[sparkplug]\ngroup = "plant"\n'
    )
    path.write_text(f"{path.read_text('utf-8')}\n{table}", "utf-8")
    config = load(path).config

    assert (("10.1.0.0/24", "fd00::1"), "plant") == (config.plc.allow, config.sparkplug.group)
