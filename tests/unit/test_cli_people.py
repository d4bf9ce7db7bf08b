"""`firstshift people`: what it shows, what it sends, and one clear line for what it refuses."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance import cli_people
from appliance.bus import control
from appliance.cli import main
from appliance.governance import credentials
from appliance.governance.credentials import CHEAP, matches
from appliance.schema.clocks import UtcNs
from appliance.schema.command import Accepted, ChangePerson, Command, RefusedReply
from appliance.schema.errors import Refused
from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role
from tests.unit.review_rig import Rig, running
from tests.unit.test_report import STATION

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Give a record service that the command line reaches without a socket."""
    (tmp_path / "station.toml").write_text(STATION.format(state=tmp_path), "utf-8")
    (tmp_path / "recipe.toml").write_text('name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "day-one"\n', "utf-8")
    monkeypatch.setattr(credentials.secret_of, "__defaults__", (CHEAP,))
    with running(tmp_path) as rig:

        def ask(_context: object, _runtime: Path, _unit: str, command: Command, _timeout_ms: int) -> Accepted:
            reply = rig.ask(command)
            if isinstance(reply, RefusedReply):
                raise Refused(reply.reason)
            assert isinstance(reply, Accepted)
            return reply

        monkeypatch.setattr(control, "ask", ask)
        yield rig


@pytest.fixture
def said(rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:  # noqa: ARG001  it answers
    """Give a way to type `firstshift people ...`."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["people", *arguments, "--state", str(tmp_path)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def pin(tmp_path: Path) -> Callable[[str], str]:
    """Give a way to lay a PIN into a file."""

    def write(text: str) -> str:
        (tmp_path / "pin").write_text(f"{text}\n", "ascii")
        return str(tmp_path / "pin")

    return write


def admin(said: Said, pin: Callable[[str], str]) -> None:
    """Enrol the first person."""
    assert said("enrol", "a-adam", "--name", "Adam", "--role", "admin", "--pin-file", pin("482913"))[0] == 0


def people(said: Said) -> dict[str, dict[str, object]]:
    """Give the list as the command tells it."""
    return {one["person"]: one for one in json.loads(said("list", "--json", "-")[1])["people"]}


def test_the_first_person_is_an_admin(said: Said, pin: Callable[[str], str]) -> None:
    """An empty list takes an admin and nobody else."""
    assert "nobody is enrolled" in said("list")[1]
    code, _, err = said("enrol", "o-anna", "--name", "Anna", "--role", "operator", "--pin-file", pin("4711"))

    assert (2, True) == (code, "admin" in err)
    admin(said, pin)
    assert {"admin"} == {one["role"] for one in people(said).values()}


def test_a_person_is_enrolled_changed_disabled_and_let_in_again(said: Said, pin: Callable[[str], str]) -> None:
    """Each command changes what it names and leaves the rest."""
    admin(said, pin)
    enrol = ["enrol", "l-leo", "--name", "Leo", "--role", "lead", "--level", "2", "--badge", "04A1", "--by", "a-adam"]
    assert said(*enrol, "--pin-file", pin("4711"))[0] == 0
    first = people(said)["l-leo"]
    said("change", "l-leo", "--language", "de", "--by", "a-adam")
    said("disable", "l-leo", "--by", "a-adam")
    last = people(said)["l-leo"]

    assert ("lead", 2, "en", True, True, True) == tuple(
        first[key] for key in ("role", "level", "language", "badge", "pin", "active")
    )
    assert {"language", "active", "at_utc_ns"} == {key for key in first if first[key] != last[key]}
    assert "disabled" in said("list")[1]
    said("enable", "l-leo", "--by", "a-adam")
    assert people(said)["l-leo"]["active"]


def test_a_new_pin_replaces_the_old_one(
    rig: Rig, said: Said, pin: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PIN is asked for twice at the prompt; what is sent proves it and does not tell it."""
    admin(said, pin)
    wishes: list[ChangePerson] = []
    real = rig.ask
    monkeypatch.setattr(rig, "ask", lambda wish: wishes.append(wish) or real(wish))
    typed = iter(["4711", "4711"])
    monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))
    code, out, _ = said("pin", "a-adam")

    assert (0, 1) == (code, len(wishes))
    assert matches("4711", wishes[0].person.secret)
    assert not matches("482913", wishes[0].person.secret)
    assert "4711" not in out
    assert b"4711" not in wishes[0].person.secret.digest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pin", "nobody", "--pin-file", "PIN"], "nobody: is not enrolled; known are a-adam"),
        (["pin", "a-adam", "--pin-file", "EASY"], "one of those tried first"),
        (["pin", "a-adam", "--pin-file", "/no/such/file"], "cannot be read"),
        (["enrol", "a-adam", "--name", "X", "--role", "admin", "--no-pin"], "is enrolled already"),
        (["enrol", "o-x", "--name", "X", "--role", "operator", "--level", "3", "--no-pin"], "highest of the role"),
        (["enrol", "o-x", "--name", "X", "--role", "operator", "--no-pin", "--by", "o-y"], "no active person"),
        (["change", "a-adam"], "is so already"),
        (["enable", "a-adam"], "is active already"),
        (["disable", "a-adam"], "last admin"),
        (["change", "a-adam", "--language", "fr"], "language 'fr' is not known"),
    ],
)
def test_a_refusal_is_one_line_and_changes_nothing(
    said: Said, pin: Callable[[str], str], arguments: list[str], words: str
) -> None:
    """What cannot be is said in one line on stderr, with exit code 2."""
    admin(said, pin)
    before = people(said)
    named = {"PIN": "4711", "EASY": "1234"}
    code, out, err = said(*[pin(named[word]) if word in named else word for word in arguments])

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert words in err
    assert before == people(said)


def test_two_different_pins_are_refused(said: Said, pin: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the finger gives nobody a PIN that nobody knows."""
    admin(said, pin)
    typed = iter(["4711", "4712"])
    monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))

    assert "the two PINs differ" in said("pin", "a-adam")[2]


def test_the_list_tells_no_secret() -> None:
    """Digest, salt and badge stay in the database."""
    secret = credentials.secret_of("4711", b"s" * 16, CHEAP)
    badge = credentials.badge_digest("04A1")
    one = Person(
        "e", "o-x", "X", Role.OPERATOR, LabelLevel(1), badge, secret, "en", active=True, by="a-adam", at=UtcNs(1)
    )
    told = json.dumps(cli_people._told(one))

    assert badge not in told
    assert secret.digest.hex() not in told
    assert {"person", "name", "role", "level", "language", "badge", "pin", "active", "by", "at_utc_ns"} == set(
        json.loads(told)
    )
