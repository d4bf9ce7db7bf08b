"""Who may sign in to the OPC UA server, how what people changed reaches the audit chain, and the commands."""

import io
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cli import main
from appliance.outputs.opcua_security import users as users_module
from appliance.outputs.opcua_security.certificates import (
    read_own,
    thumbprint,
)
from appliance.outputs.opcua_security.changes import LOG, changes, note
from appliance.outputs.opcua_security.folders import (
    Folders,
    keep_rejected,
    make_folders,
)
from appliance.outputs.opcua_security.roles import Role, suffices
from appliance.outputs.opcua_security.users import Users, read_users, remove_user, set_user
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.errors import ConfigError, Refused
from appliance.services._opcua_audit import AGAIN, DATABASE, FIRST, AuditCarrier
from appliance.storage import record_store
from appliance.storage.record_store import RecordStore
from tests.unit.test_report import STATION

AT = UtcNs(1_800_000_000 * S)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return make_folders(tmp_path / "opcua")


class _Clock:
    def __init__(self) -> None:
        self.now = HostNs(0)

    def __call__(self) -> HostNs:
        return self.now


COST = users_module.COST


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash quickly; the cost is checked by `test_hashes_are_dear`."""
    monkeypatch.setattr(users_module, "COST", 2)


@pytest.fixture
def someone(folders: Folders) -> tuple[Users, _Clock]:
    clock = _Clock()
    set_user(folders.root, "anna", Role.OPERATOR, "correct horse", "person-1", AT)
    return Users(folders.root, clock), clock


def test_hashes_are_dear() -> None:
    """A stolen file must cost 16 MB and tens of milliseconds for each guess."""
    assert (1 << 14, 8, 1) == (COST, users_module.BLOCK, users_module.LANES)


def test_the_file_of_users_holds_no_password(folders: Folders) -> None:
    """Only salted hashes are kept, for the services' user alone, and equal passwords look different."""
    set_user(folders.root, "anna", Role.OBSERVER, "correct horse", "person-1", AT)
    set_user(folders.root, "bert", Role.OBSERVER, "correct horse", "person-1", AT)
    kept = read_users(folders.root)
    place = folders.root / users_module.FILE

    assert b"correct horse" not in place.read_bytes() + (folders.root / LOG).read_bytes()
    assert kept["anna"].digest != kept["bert"].digest
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_the_right_password_signs_in(someone: tuple[Users, _Clock]) -> None:
    """The right password and no other lets a person in, with the role that was given."""
    users, _ = someone

    assert users.check("anna", "correct horse") == ""
    assert users.check("anna", "correct hors") == "wrong password"
    assert users.check("anna", "") == "wrong password"
    assert users.check("nobody", "correct horse") == "no such user"
    assert users.check("", "") == "no such user"
    assert (Role.OPERATOR, None) == (users.role("anna"), users.role("nobody"))


def test_five_wrong_passwords_lock_a_name(someone: tuple[Users, _Clock]) -> None:
    """After five failures not even the right password counts for 60 s, then twice as long for each further one."""
    users, clock = someone
    for _ in range(5):
        users.check("anna", "wrong")

    assert users.check("anna", "correct horse").startswith("locked")
    assert ["anna"] == users.locked()
    clock.now = HostNs(60 * S - 1)
    assert users.check("anna", "correct horse").startswith("locked")
    clock.now = HostNs(60 * S)
    assert users.check("anna", "wrong").endswith("locked for 120 s")
    clock.now = HostNs(179 * S)
    assert users.check("anna", "correct horse").startswith("locked")
    clock.now = HostNs(180 * S)
    assert users.check("anna", "correct horse") == ""
    assert [] == users.locked()
    assert users.check("anna", "wrong") == "wrong password"


def test_a_lock_ends(someone: tuple[Users, _Clock]) -> None:
    """However many wrong passwords: after an hour the right one counts."""
    users, clock = someone
    for _ in range(40):
        users.check("anna", "wrong")
        clock.now = HostNs(clock.now + 3601 * S)

    assert users.check("anna", "correct horse") == ""


def test_names_that_are_not_there_fill_no_memory(someone: tuple[Users, _Clock]) -> None:
    """Tries at names nobody has are not kept."""
    users, _ = someone
    for number in range(50):
        users.check(f"nobody-{number}", "x")

    assert {} == users._tries


def test_changes_of_users_count_at_once(folders: Folders, someone: tuple[Users, _Clock]) -> None:
    """Another role and removal need no restart, and both are written down with who did it."""
    users, _ = someone
    set_user(folders.root, "anna", Role.ENGINEER, "another horse", "person-2", AT)

    assert users.role("anna") is Role.ENGINEER
    assert users.check("anna", "correct horse") == "wrong password"
    remove_user(folders.root, "anna", "person-3", AT)
    assert users.role("anna") is None
    assert users.check("anna", "another horse") == "no such user"
    assert [("person-1", "no user"), ("person-2", "operator"), ("person-3", "engineer")] == [
        (one.actor, one.before) for one in changes(folders.root)
    ]


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 41, "a\n"])
def test_names_are_plain(folders: Folders, name: str) -> None:
    """A name that could confuse a file, a log or a command is refused."""
    with pytest.raises(Refused, match="is no name"):
        set_user(folders.root, name, Role.OBSERVER, "correct horse", "person-1", AT)


@pytest.mark.parametrize("password", ["", "short", "x" * 129])
def test_passwords_are_long_enough(folders: Folders, password: str) -> None:
    """A password too short to resist guessing, or longer than is hashed, is refused and not repeated."""
    with pytest.raises(Refused, match="10 to 128") as refused:
        set_user(folders.root, "anna", Role.OBSERVER, password, "person-1", AT)

    assert not password or password not in str(refused.value)
    assert {} == read_users(folders.root)


def test_a_damaged_file_lets_nobody_in(folders: Folders, someone: tuple[Users, _Clock]) -> None:
    """What cannot be read is an error, never an empty or an old list."""
    users, _ = someone
    (folders.root / users_module.FILE).write_bytes(b"{}{")

    with pytest.raises(ConfigError, match="restore it"):
        users.check("anna", "correct horse")


@given(st.sampled_from(Role), st.sampled_from(Role))
@settings(max_examples=9)
def test_roles_are_ordered(held_role: Role, needed: Role) -> None:
    """Observer < operator < engineer: each may do what those before it may, and no more."""
    order = ["observer", "operator", "engineer"]

    assert suffices(held_role, needed) == (order.index(held_role.value) >= order.index(needed.value))


def test_the_carrier_knows_the_records_name() -> None:
    """The service reads the database that `record` writes, though it does not import it."""
    assert DATABASE == record_store.DATABASE


def test_changes_reach_the_audit_chain_once(tmp_path: Path, folders: Folders) -> None:
    """What was changed while no service ran is published until the chain holds it, and no longer."""
    carrier = AuditCarrier(tmp_path)
    note(folders.root, "person-1", "user_set", "user a", "", "observer", AT)
    (wanted,) = changes(folders.root)

    assert () == tuple(carrier.due(HostNs(0)))
    assert () == tuple(carrier.due(FIRST))  # no database yet
    store = RecordStore(tmp_path, 0)
    assert [wanted] == list(carrier.due(HostNs(2 * FIRST)))
    assert [] == list(carrier.due(HostNs(2 * FIRST + S)))
    assert [wanted] == list(carrier.due(HostNs(2 * FIRST + AGAIN)))
    store.audit(wanted.actor, wanted.action, wanted.subject, wanted.before, wanted.after, AT)
    assert [] == list(carrier.due(HostNs(2 * FIRST + 3 * AGAIN)))
    note(folders.root, "person-1", "user_set", "user b", "", "observer", AT)
    assert [changes(folders.root)[1]] == list(carrier.due(HostNs(2 * FIRST + 3 * AGAIN + S)))
    store.close()


def test_a_log_that_cannot_be_read_is_audited(tmp_path: Path, folders: Folders) -> None:
    """A damaged log stops no service: the audit chain is told of it, once."""
    (folders.root / LOG).mkdir()
    store = RecordStore(tmp_path, 0)
    carrier = AuditCarrier(tmp_path)
    carrier.due(HostNs(0))
    (told,) = carrier.due(FIRST)

    assert ("service:opcua", "opcua_log_unreadable") == (told.actor, told.action)
    store.audit(told.actor, told.action, told.subject, told.before, told.after, AT)
    assert [] == list(carrier.due(HostNs(FIRST + AGAIN)))
    store.close()


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    (tmp_path / "station.toml").write_text(STATION.format(state=tmp_path), "utf-8")
    (tmp_path / "recipe.toml").write_text('name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "day-one"\n', "utf-8")

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main(["opcua", *arguments, "--state", str(tmp_path)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_commands_set_users(tmp_path: Path, said: Said) -> None:
    """A person is added with a password from the input, listed and removed; nothing tells the password."""
    add = ("user", "add", "anna", "--role", "operator", "--person", "person-1")
    code, out, err = said(*add, typed="correct horse\n")

    assert (0, "") == (code, err)
    assert "correct horse" not in out
    assert Users(tmp_path / "opcua", _Clock()).check("anna", "correct horse") == ""
    assert (0, "operator  anna\n", "") == said("user", "list")
    assert said("user", "remove", "anna", "--person", "person-2")[0] == 0
    assert (0, "nobody may sign in; `firstshift opcua user add` lets a person in\n", "") == said("user", "list")
    code, out, err = said(*add, typed="short\n")
    assert (2, "") == (code, out)
    assert "5 characters; 10 to 128 are allowed" in err
    assert "short" not in err
    assert (2, "") == said("user", "remove", "anna", "--person", "person-2")[:2]


def test_commands_renew_and_list(tmp_path: Path, said: Said) -> None:
    """Renewal is written down with the certificate before it, and the list shows all folders."""
    assert said("renew", "--person", "person-1")[0] == 0
    first = read_own(tmp_path / "opcua" / "own").certificate
    assert said("renew", "--person", "person-1")[0] == 0
    second = read_own(tmp_path / "opcua" / "own").certificate
    keep_rejected(make_folders(tmp_path / "opcua"), first)
    _, out, _ = said("list")
    written = changes(tmp_path / "opcua")

    assert ["none that can be read", thumbprint(first)] == [one.before.split(" (")[0] for one in written]
    assert first.public_key() != second.public_key()
    assert f"own       {thumbprint(second)} (urn:firstshift:" in out
    assert len([line for line in out.splitlines() if line.startswith("rejected")]) == 1


def test_commands_refuse_in_one_line(said: Said) -> None:
    """A thumbprint that names nothing is refused with one line and exit code 2."""
    code, out, err = said("trust", "0123456789ab", "--person", "person-1")

    assert (2, "") == (code, out)
    assert err.count("\n") == 1
    assert "names 0 rejected certificates" in err
