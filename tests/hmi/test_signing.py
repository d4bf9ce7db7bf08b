"""Signing at the screen: whose key, opened by what, and what is refused."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance.config import load
from appliance.governance import credentials
from appliance.governance.approval import key_pem, public_text
from appliance.governance.credentials import CHEAP
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role, Secret
from appliance.storage.promise import FILE as PROMISE
from appliance.storage.promise import PromiseFile
from appliance.storage.recipe_versions import history, shelf_of
from hmi.screens.recipe import listing
from hmi.screens.recipe.deeds import Deed, Done, do
from hmi.screens.recipe.standing import Reader, Standing, Version
from hmi.signing_keys import KeyRing
from tests.unit.approval_rig import key_of, write_station
from tests.unit.test_cli_recipe import LIMITS, RECIPE, VERSION_2, Station

PIN, OTHER_PIN = "482913", "482914"
AT = UtcNs(1_795_000_000_000_000_000)


def person(name: str, role: Role = Role.QUALITY) -> Person:
    """Give somebody who can sign in."""
    secret = Secret(b"s", b"d", 16, 8, 1)
    return Person("e", name, name, role, LabelLevel.CONFIRM, "", secret, "en", active=True, by="a-adam", at=UtcNs(1))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a PIN cost little."""
    monkeypatch.setattr(credentials, "COST", CHEAP)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """Give the keys of a station, and an empty place for sticks."""
    return KeyRing(tmp_path / "hmi", (tmp_path / "media",))


class Screen:
    """Do deeds at a station as the recipe screen does."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], ring: KeyRing, *, two: bool = False) -> None:
        self.station, self.ring, self.folder = Station(folder, capsys, two_persons=two), ring, folder
        (folder / "state").mkdir()
        assert 0 == self.station.propose(VERSION_2, person="QE1")

    def stick(self, name: str, passphrase: str = "") -> None:
        """Put a stick with a person's key in."""
        place = self.folder / "media" / "stick"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"firstshift-{name}.pem").write_bytes(key_pem(key_of(name), passphrase.encode() or None))

    def do(self, kind: str, name: str, subject: str = "2", pin: str = PIN, role: Role = Role.QUALITY) -> Done:
        """Do one deed."""
        return do(Deed(kind, subject, "trial"), self.station.file, person(name, role), pin, self.ring, AT)

    def read(self) -> Standing:
        """Read what the screen shows."""
        found = Reader().read(None, self.station.file, "")
        assert isinstance(found, Standing), found
        return found

    def deeds(self, name: str, role: Role = Role.QUALITY, *, has_key: bool = True) -> dict[str, bool]:
        """Give which keys of version 2 are on."""
        sight = listing.Sight(self.read(), "versions", "2", person(name, role), has_key, (), "")
        return {deed["name"]: deed["able"] for deed in listing.keys(sight, Plain())}


class Plain:
    """Say everything in English."""

    def tr(self, text: str) -> str:
        return text

    def number(self, value: float, decimals: int = 0) -> str:
        return f"{value:.{decimals}f}"

    def percent(self, share: float, decimals: int = 1) -> str:
        return f"{share:.{decimals}%}"

    def moment(self, utc_ns: int) -> str:
        return str(utc_ns)


@pytest.fixture
def screen(tmp_path: Path, capsys: pytest.CaptureFixture[str], ring: KeyRing) -> Screen:
    """Give a station with a proposed version 2."""
    return Screen(tmp_path, capsys, ring)


def test_a_key_opens_to_its_owner_at_its_station_alone(ring: KeyRing) -> None:
    """Another PIN, another station's secret or no secret open nothing; nothing of it is readable by others."""
    public = ring.make("q-quin", PIN)
    file = ring.find("q-quin")
    assert file is not None

    assert public == public_text(ring.open(file, "q-quin", PIN))
    with pytest.raises(ConfigError, match="no readable PEM"):
        ring.open(file, "q-quin", OTHER_PIN)
    with pytest.raises(ValueError, match=r".*"):
        load_pem_private_key(file.path.read_bytes(), PIN.encode())
    assert 0o600 == file.path.stat().st_mode & 0o777
    assert 0o600 == (file.path.parent / "station.secret").stat().st_mode & 0o777
    (file.path.parent / "station.secret").write_bytes(os.urandom(32))
    with pytest.raises(ConfigError, match="no readable PEM"):
        ring.open(file, "q-quin", PIN)
    (file.path.parent / "station.secret").write_bytes(b"short")
    with pytest.raises(ConfigError, match="5 bytes, 32 are needed"):
        ring.open(file, "q-quin", PIN)
    assert ring.find("q-other") is None
    with pytest.raises(ConfigError, match="cannot name a key file"):
        ring.find("../etc")


def test_a_new_pin_opens_the_same_key(ring: KeyRing) -> None:
    """A change of PIN takes the key along; the old PIN opens it no more. Without a key nothing happens."""
    ring.close_anew("q-quin", PIN, OTHER_PIN)
    assert ring.find("q-quin") is None
    public = ring.make("q-quin", PIN)
    ring.close_anew("q-quin", PIN, OTHER_PIN)
    file = ring.find("q-quin")
    assert file is not None

    assert public == public_text(ring.open(file, "q-quin", OTHER_PIN))
    with pytest.raises(ConfigError):
        ring.open(file, "q-quin", PIN)


def test_a_version_is_signed_put_in_force_and_taken_back(screen: Screen) -> None:
    """Signed with the key of the stick, in force, taken back: each by a person, as the command line does it."""
    screen.stick("QE2")
    assert {"approve": True, "activate": False} == {k: screen.deeds("QE2")[k] for k in ("approve", "activate")}
    assert screen.do("approve", "QE2").good
    assert {"approve": False, "activate": True} == {k: screen.deeds("QE2")[k] for k in ("approve", "activate")}
    done = screen.do("activate", "QE2")
    assert (True, "version 1", "version 2") == (done.good, done.before, done.after)
    assert 2 == load(screen.station.file).recipe.version
    assert screen.do("roll_back", "QE2").good
    loaded = load(screen.station.file)

    assert 1 == loaded.recipe.version
    assert [("activated", "QE2", ""), ("rolled_back", "QE2", "trial")] == [
        (done.action, done.actor, done.why) for done in history(shelf_of(loaded.recipe_path, loaded.recipe))
    ]


def test_who_may_not_or_has_no_key_signs_nothing(screen: Screen) -> None:
    """Another role, a person without a key, one whom the station does not trust, and a key of somebody else."""
    screen.stick("QE2")
    refusals = [screen.do("approve", "QE2", role=role) for role in Role if role is not Role.QUALITY]
    (screen.folder / "media/stick/firstshift-QE2.pem").unlink()
    refusals.append(screen.do("approve", "QE2"))
    screen.stick("MALLORY")
    refusals.append(screen.do("approve", "MALLORY"))
    place = screen.folder / "media" / "stick"
    (place / "firstshift-QE2.pem").write_bytes(key_pem(key_of("MALLORY")))
    refusals.append(screen.do("approve", "QE2"))

    assert not any(done.good for done in refusals)
    assert all("QE2" in done.said or "MALLORY" in done.said for done in refusals)
    assert not list(screen.folder.rglob("v0002.approval.json"))


def test_two_persons_are_two_persons(tmp_path: Path, capsys: pytest.CaptureFixture[str], ring: KeyRing) -> None:
    """Where two must sign nobody signs twice, the proposer not alone, and nothing goes in force before."""
    screen = Screen(tmp_path, capsys, ring, two=True)
    screen.stick("QE1")
    screen.stick("QE2")
    first = screen.do("approve", "QE1")

    assert (True, True) == (first.good, "second person" in first.said)
    assert not screen.do("approve", "QE1").good
    assert not screen.do("activate", "QE1").good
    assert not screen.deeds("QE1")["approve"]
    assert not screen.deeds("QE1")["activate"]
    assert screen.do("approve", "QE2").good
    assert screen.do("activate", "QE1").good


def test_a_key_is_made_at_the_screen_and_trusted_by_the_station_file(screen: Screen) -> None:
    """The screen makes the key and tells its public half; the station trusts it once its own file names it."""
    made = screen.do("make_key", "QE2")
    assert made.good
    assert not screen.do("approve", "QE2").good
    text = screen.station.file.read_text("utf-8")
    old = public_text(key_of("QE2"))
    screen.station.file.write_text(text.replace(old, made.after), "utf-8")

    assert made.after in made.said
    assert made.after in screen.ring.public_file("QE2").read_text("utf-8")
    assert not screen.do("approve", "QE2", pin=OTHER_PIN).good
    assert screen.do("approve", "QE2").good
    assert made.after == screen.do("make_key", "QE2").after


def test_a_lost_pin_costs_the_key(screen: Screen) -> None:
    """With another PIN the key is made anew, and what the old one could sign the new one cannot."""
    first, second = screen.do("make_key", "QE2"), screen.do("make_key", "QE2", pin=OTHER_PIN)

    assert first.after != second.after
    assert second.good


def test_what_cannot_be_read_is_said(screen: Screen) -> None:
    """A damaged version shows as such beside the others, and a damaged station file is told whole."""
    screen.station.file.parent.joinpath("recipes/lid/v0002.proposed.toml").write_text("version = ", "utf-8")
    versions: dict[int, Version] = {one.number: one for one in screen.read().versions}
    assert versions[2].fault
    assert not versions[1].fault
    assert not screen.deeds("QE2")["approve"]
    screen.station.file.write_text("nonsense = 1", "utf-8")

    assert "station.toml" in str(Reader().read(None, screen.station.file, ""))


def test_the_promise_of_another_bundle_does_not_stand(tmp_path: Path) -> None:
    """A promise stands for the bundle that it was found for, until drift voids it."""
    limits = "\n".join(f"{key} = {json.dumps(value)}" for key, value in LIMITS.items())
    file = write_station(tmp_path, f'{RECIPE}version = 4\n[policy]\nbasis = "risk"\n[policy.risk]\n{limits}\n')
    (tmp_path / "state").mkdir()

    def void(bundle: str) -> str:
        found = Reader().read(None, file, bundle)
        assert isinstance(found, Standing), found
        return found.void

    assert ("", "") == (void("sha256:1"), void(""))
    assert "found for bundle sha256:1" in void("sha256:2")
    PromiseFile(tmp_path / "state" / PROMISE, "lid", 4).void("sha256:1", "the lamp has aged")
    assert "the lamp has aged" == void("sha256:1")
