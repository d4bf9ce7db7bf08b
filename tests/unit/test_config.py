"""Protect the configuration: nothing a person wrote is guessed at, and the digest says how a station ran."""

from pathlib import Path

import msgspec
import pytest
from msgspec import inspect
from msgspec.structs import replace

from appliance.config import Config, Loaded, load
from appliance.governance.approval import sign
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Mode
from tests.unit.approval_rig import AT, key_of

STATION = """\
[station]
name = "cell-4"
state = "/var/lib/firstshift"
runtime = "/run/firstshift"

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

[judge]
threads = 1

[plc]
port = 502

[mqtt]
host = ""

[record]
accept_share = 1.0
"""
RECIPE = """\
name = "lid"
number = 3
views = ["top"]
bundle = "lid-1"
"""


class Files:
    """Write a station's two files and read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.station, self.recipe = STATION, RECIPE

    def load(self) -> Loaded:
        (self.folder / "station.toml").write_text(self.station, "utf-8")
        (self.folder / "recipe.toml").write_text(self.recipe, "utf-8")
        return load(self.folder / "station.toml")

    def change(self, old: str, new: str) -> "Files":
        assert (self.station + self.recipe).count(old) == 1, old
        self.station, self.recipe = self.station.replace(old, new), self.recipe.replace(old, new)
        return self

    def fault(self) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load()
        return str(caught.value)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_station_is_read_with_its_recipe(files: Files) -> None:
    """What is written is what the services get, and what is not written is the safe default."""
    loaded = files.load()

    assert ("cell-4", 400.0, "lid", ("top",)) == (
        loaded.config.station.name, loaded.config.mcu.gate_mm, loaded.recipe.name, loaded.recipe.views
    )  # fmt: skip
    assert (True, "f32", "") == (loaded.config.plc.required, loaded.config.judge.precision, loaded.config.mqtt.host)
    assert (Path("/var/lib/firstshift"), Path("/run/firstshift")) == (loaded.state, loaded.runtime)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("[station]\n", "speed = 3\n[station]\n", "speed"),
        ("[mqtt]\n", "[mqqt]\nx = 1\n[mqtt]\n", "mqqt"),
        ('name = "cell-4"', 'name = "cell-4"\nnome = "x"', "station.nome"),
        ("gate_mm = 400.0", "gate_mm = 400.0\ngate = 3", "mcu.gate"),
        ('serial = "A1"', 'serial = "A1"\nexposure = 3', "camera.top.exposure"),
        ("threads = 1", "threads = 1\nthread = 1", "judge.thread"),
        ("port = 502", "port = 502\nprot = 502", "plc.prot"),
        ('host = ""', 'host = ""\nuser = "x"', "mqtt.user"),
        ("accept_share = 1.0", "accept_share = 1.0\nshare = 1", "record.share"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_refused_with_its_path(files: Files, old: str, new: str, path: str) -> None:
    """A key that does nothing is a person's mistake, at every level of the file."""

    assert f"station.toml: {path}: unknown key" in files.change(old, new).fault()


def test_an_unknown_key_of_the_recipe_is_refused(files: Files) -> None:
    """A recipe is read as strictly as a station."""

    assert "recipe.toml: veiws: unknown key" in files.change("number = 3", 'number = 3\nveiws = ["top"]').fault()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("threads = 1", "threads = 0", ("judge.threads", ">= 1", "is 0")),
        ("threads = 1", "threads = 65", ("judge.threads", "<= 64", "is 65")),
        ("port = 502", "port = 70000", ("plc.port", "<= 65535", "is 70000")),
        ("accept_share = 1.0", "accept_share = 1.5", ("record.accept_share", "<= 1", "is 1.5")),
        ("width_px = 640", "width_px = 8", ("camera.top.width_px", ">= 16", "is 8")),
        ("counts_per_mm = 10.0", "counts_per_mm = 0", ("mcu.counts_per_mm", "> 0", "is 0")),
        ("threads = 1", 'runtime = "tensorflow"', ("judge.runtime", "openvino|onnx", "is 'tensorflow'")),
        ('name = "cell-4"', 'name = "cell 4"', ("station.name", "matching regex", "is 'cell 4'")),
        ("[camera.top]", '[camera."a b"]', ("camera", "matching regex", "")),
        ("number = 3", "number = 0", ("number", ">= 1", "is 0")),
        ('name = "cell-4"', 'name = "cell-4"\nshifts = ["6 am"]', ("station.shifts", "matching regex", "is '6 am'")),
        ('name = "cell-4"', 'name = "a"\nshifts = ["06:00", "06:00"]', ("station.shifts", "06:00, 06:00", "twice")),
    ],
)
def test_a_value_out_of_range_is_refused(files: Files, old: str, new: str, told: tuple[str, ...]) -> None:
    """The message names key, limit and value."""
    fault = files.change(old, new).fault()

    assert [] == [word for word in told if word not in fault], fault


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('name = "cell-4"', "station.name"),
        ('link = "/dev/mcu"', "mcu.link"),
        ("gate_mm = 400.0", "mcu.gate_mm"),
        ('serial = "A1"', "camera.top.serial"),
        ("number = 3", "number"),
    ],
)
def test_a_missing_key_is_named(files: Files, line: str, path: str) -> None:
    """What has no safe default must be given."""

    assert f"{path}: missing, has no default" in files.change(line + "\n", "").fault()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("threads = 1", 'threads = "one"', ("judge.threads", "int", "'one'")),
        ("threads = 1", "threads = true", ("judge.threads", "int", "True")),
        ("gate_mm = 400.0", "gate_mm = [1]", ("mcu.gate_mm", "[1]")),
        ("port = 502", 'required = "yes"', ("plc.required", "bool", "'yes'")),
        ("width_px = 640", "width_px = 640.5", ("camera.top.width_px", "int", "640.5")),
        ('serial = "A1"', "serial = 1", ("camera.top.serial", "str", "is 1")),
        ("[camera.top]\n", "[camera]\nx = 1\n[camera.top]\n", ("camera.x", "object", "1")),
        ('views = ["top"]', 'views = "top"', ("views", "array", "'top'")),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused(files: Files, old: str, new: str, told: tuple[str, ...]) -> None:
    """Nothing is converted on the quiet."""
    fault = files.change(old, new).fault()

    assert [] == [word for word in told if word not in fault], fault


@pytest.mark.parametrize("text", ["[station\n", "name = \n", "a = 1\na = 2\n", "camera = 3\n"])
def test_what_is_not_toml_is_refused(files: Files, text: str) -> None:
    """The file is named, whatever is wrong with it."""
    files.station = text

    assert "station.toml" in files.fault()


def test_bytes_that_are_no_text_are_refused(files: Files) -> None:
    """A file of another encoding is a person's mistake, not a crash."""
    path = files.folder / "station.toml"
    path.write_bytes(b'[station]\nname = "\xff"\n')
    with pytest.raises(ConfigError, match="is not TOML"):
        load(path)


def test_a_file_that_is_not_there_is_named(files: Files) -> None:
    """The message says which file and how to give another."""
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file"):
        load(files.folder / "absent.toml")

    files.change('runtime = "/run/firstshift"', 'runtime = "/run/firstshift"\nrecipe = "other.toml"')

    assert "other.toml: cannot be read" in files.fault()


def test_views_must_be_cameras(files: Files) -> None:
    """A recipe that names no camera of the station, or none at all, would accept without looking."""

    assert "recipe.toml: views: 'side' is no camera of station.toml; cameras are top" in files.change(
        'views = ["top"]', 'views = ["top", "side"]').fault()  # fmt: skip
    assert "views: empty" in files.change('views = ["top", "side"]', "views = []").fault()


def test_a_station_needs_a_camera(files: Files) -> None:
    """No camera, no view, no ACCEPT."""
    head, _, rest = STATION.partition("[camera.top]")
    files.station = head + "[judge]" + rest.partition("[judge]")[2]

    assert "camera: no camera is configured" in files.fault()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ([("lead_mm = 25.0", "lead_mm = 400.0")], "mcu.lead_mm: 400.0 mm"),
        ([("lead_mm = 25.0", "lead_mm = 25.0\nhold_mm = 41.0")], "mcu.min_gap_mm: 40.0 mm"),
        ([("lead_mm = 25.0", "lead_mm = 25.0\nmin_gap_mm = 376.0")], "mcu.min_gap_mm: 376.0 mm"),
        ([("lead_mm = 25.0", "lead_mm = 19.0")], "mcu.hold_mm: 40.0 mm"),
        ([("lead_mm = 25.0", "lead_mm = 25.0\nshortest_part_mm = 41.0")], "mcu.shortest_part_mm: 41.0 mm"),
        ([("lead_mm = 25.0", "lead_mm = 25.0\ngate_sensor_mm = 401.0")], "mcu.gate_sensor_mm: 401.0 mm"),
        ([("lead_mm = 25.0", "lead_mm = 25.0\ngate_sensor_mm = 10.0")], "mcu.gate_sensor_mm: 10.0 mm"),
        ([("lead_mm = 25.0", "lead_mm = 25.0\ngate_sensor_mm = 370\ngate_window_mm = 21")], "mcu.gate_window_mm: 21.0"),
        ([("threads = 1", "pairing_tolerance_ms = 10.0")], "judge.pairing_tolerance_ms: 10.0 ms"),
        ([("belt_mm_s = 1000.0", "belt_mm_s = 2000.0")], "judge.pairing_tolerance_ms: 5.0 ms"),
        ([("distance_mm = 30.0", "distance_mm = 375.0")], "camera.top.distance_mm: 375.0 mm"),
        ([("distance_mm = 30.0", "distance_mm = 30.0\nstrobe_us = 4001")], "camera.top.strobe_us: 4001 us"),
    ],
)
def test_a_geometry_that_cannot_work_is_refused(files: Files, changes: list[tuple[str, str]], key: str) -> None:
    """Places on the belt must leave time to expose, to decide and to move the gate for one part alone."""
    for old, new in changes:
        files.change(old, new)

    assert f"station.toml: {key}" in files.fault()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threads = 1", "threads = 2"),
        ("threads = 1", "margin_ms = 3.0"),
        ("port = 502", "required = false"),
        ("distance_mm = 30.0", "distance_mm = 30.5"),
        ("number = 3", "number = 4"),
        ('bundle = "lid-1"', 'bundle = "lid-2"'),
        ('host = ""', "keepalive_s = 11"),
    ],
)
def test_the_digest_changes_with_the_effective_configuration(files: Files, old: str, new: str) -> None:
    """Two stations that may behave differently have different digests."""
    before = files.load().digest

    assert before != files.change(old, new).load().digest


def test_the_digest_does_not_change_with_the_writing(files: Files) -> None:
    """Comments, order, and a default that is written out change nothing about how a station runs."""
    before = files.load().digest
    head, judge, rest = STATION.partition("[judge]")
    files.station = "# a comment\n" + judge + rest + head
    files.change("threads = 1", "margin_ms = 2.0\nthreads = 1 # as before")
    files.change('serial = "A1"\nwidth_px = 640', 'width_px = 640\nserial = "A1"')

    assert before == files.load().digest
    assert len(before) == 64


def test_cameras_in_another_order_are_the_same_station(files: Files) -> None:
    """Tables have no order."""
    side = '[camera.side]\nproducer = "p"\nserial = "B"\nwidth_px = 64\nheight_px = 64\nmcu_line = 1\n\n'
    files.station = STATION.replace("[camera.top]", side + "[camera.top]")
    first = files.load().digest
    files.station = STATION.replace("[judge]", side + "[judge]")

    assert first == files.load().digest


RISK = """
[policy.risk]
accept_below = {0}
reject_above = {1}
escape_rate = 0.005
assurance = 0.95
defects = 598
escaped = 0
good = 900
bundle = "sha256:1"
precision = "f32"
data = "d"
"""


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("[policy.bands]\nreject_below = 0.96", ["policy.bands: reject_below 0.96", "accept_above 0.95", "swap"]),
        ("[policy.class_bands.dent]\naccept_above = 0.6", ["policy.class_bands.dent: reject_below 0.7", "0.6"]),
        ('[policy]\nbasis = "risk"', ["policy.risk: missing", "risk plan"]),
        ('[policy]\nbasis = "luck"', ["policy.basis", "'luck'"]),
        ("[policy]\nsample_share = 1.1", ["policy.sample_share", "<= 1", "1.1"]),
        ("[policy]\nsampel_share = 0.1", ["policy.sampel_share: unknown key"]),
        ('[policy]\nnovelty = "maybe"', ["policy.novelty", "'maybe'"]),
        (RISK.format(2.0, 1.0), ["policy.risk: accept_below 2", "reject_above 1"]),
        (RISK.format("nan", 1.0), ["policy.risk: accept_below nan"]),
        ('mode = "automatic"', ["mode", "'automatic'"]),
        ("version = 0", ["version", ">= 1"]),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(files: Files, added: str, told: list[str]) -> None:
    """Bands in the wrong order leave no part for a person; limits by risk need their promise beside them."""
    files.recipe += added
    fault = files.fault()

    assert [] == [word for word in ["recipe.toml", *told] if word not in fault], fault


def test_bands_may_touch(files: Files) -> None:
    """A band of no width is a choice: nobody is asked."""
    files.recipe += "[policy.bands]\nreject_below = 0.95\n" + RISK.format(1.0, 1.0)

    assert 0.95 == files.load().recipe.policy.bands.reject_below


def test_parallel_is_what_a_recipe_is_without_a_word(files: Files) -> None:
    """Nothing that a person did not write lets the model drive the gate."""

    assert (Mode.PARALLEL, 1, None) == (files.load().recipe.mode, files.load().recipe.version, files.load().approval)


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ('people = { QE1 = "abc" }', ["approval.people.QE1", "32-byte", "'abc'", "recipe keygen"]),
        (f'people = {{ QE1 = "{"A" * 40}" }}', ["approval.people.QE1", "32-byte"]),
        ('people = { "Q E" = "x" }', ["approval.people"]),
        (f'people = {{ QE1 = "{"A" * 43}=" }}\ntwo_persons = true', ["two_persons: demands 2", "lists 1"]),
    ],
)
def test_a_key_that_is_none_is_refused(files: Files, people: str, told: list[str]) -> None:
    """A mistake in a public key shows at the start, not when somebody signs."""
    files.station += f"\n[approval]\n{people}\n"
    fault = files.fault()

    assert [] == [word for word in told if word not in fault], fault


def test_an_approval_lies_beside_its_recipe(files: Files) -> None:
    """It is read as it is, and the digest of the station covers it; what is no approval is refused in one line."""
    recipe = replace(files.load().recipe, mode=Mode.PRIMARY)
    without = files.load().digest
    signed = sign(recipe, "", "QE1", AT, key_of("QE1"))
    place = files.folder / "recipe.approval.json"
    place.write_bytes(msgspec.json.encode(signed))

    assert signed == files.load().approval
    assert without != files.load().digest
    for content in (b"", b"{}", b"\xff{", msgspec.json.encode(signed).replace(b'"person"', b'"preson"')):
        place.write_bytes(content)
        assert "recipe.approval.json: is no approval" in files.fault()


def keys(kind: inspect.Type, path: str = "") -> list[tuple[str, inspect.Type]]:
    """Walk the Structs and give each key with its annotated type."""
    if isinstance(kind, inspect.DictType):
        return keys(kind.value_type, path + ".*")
    if not isinstance(kind, inspect.StructType):
        return []
    found = []
    for field in kind.fields:
        place = f"{path}.{field.encode_name}"
        inner = field.type
        if isinstance(inner, inspect.StructType | inspect.DictType):
            found += keys(inner, place)
        else:
            found.append((place, inner))
    return found


def test_every_key_has_a_description() -> None:
    """Each key states unit, range and reason where it is defined."""
    found = keys(inspect.type_info(Config))
    bare = [
        path
        for path, kind in found
        if not isinstance(kind, inspect.Metadata) or not (kind.extra_json_schema or {}).get("description")
    ]

    assert len(found) > 40
    assert [] == bare
