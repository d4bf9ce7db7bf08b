"""Protect the way of a change: proposed with what it will do, signed by a person, put in force whole, undone whole."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance import config
from appliance.cli import main
from appliance.governance.approval import verify
from appliance.schema.errors import ConfigError
from appliance.storage.recipe_versions import history, shelf_of
from tests.unit.approval_rig import people, write_station

RECIPE = """\
name = "lid"
number = 3
views = ["top"]
bundle = "lid-1"
"""
EVALUATION = {
    "task": "anomaly",
    "metrics": {
        "escape_rate": {"value": 0.0, "k": 0, "n": 120, "low": 0.0, "high": 0.0},
        "overkill_rate": {"value": 0.05, "k": 10, "n": 200, "low": 0.0, "high": 1.0},
        "review_rate": {"value": 0.025, "k": 8, "n": 320, "low": 0.0, "high": 1.0},
    },
}


LIMITS = {
    "accept_below": 1.0, "reject_above": 2.0, "escape_rate": 0.005, "assurance": 0.95, "defects": 598, "escaped": 0,
    "good": 900, "bundle": "sha256:1", "precision": "f32", "data": "d",
}  # fmt: skip


class Station:
    """Run commands at a station of a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], *, two_persons: bool = False) -> None:
        self.folder, self._capsys = folder, capsys
        self.file = write_station(folder, RECIPE, two_persons=two_persons)
        (folder / "evaluation.json").write_text(json.dumps(EVALUATION), "utf-8")
        self.said = ""

    def run(self, *arguments: str | Path) -> int:
        code = main([*map(str, arguments), "--config", str(self.file)])
        out, err = self._capsys.readouterr()
        self.said = out + err
        return code

    def propose(self, text: str, **options: str) -> int:
        (self.folder / "next.toml").write_text(text, "utf-8")
        given = {"person": "QE1", "why": "trial", "evidence": str(self.folder / "evaluation.json")} | options
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        return self.run("recipe", "propose", self.folder / "next.toml", *words)

    def approve(self, version: int, person: str = "QE2", key: str = "") -> int:
        file = self.folder / f"{key or person}.pem"
        return self.run("recipe", "approve", str(version), "--person", person, "--key", file)

    def activate(self, version: int) -> int:
        return self.run("recipe", "activate", str(version), "--person", "TECH")

    def loaded(self) -> config.Loaded:
        return config.load(self.file)

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.name != "next.toml")
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


@pytest.fixture
def station(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Station:
    return Station(tmp_path, capsys)


VERSION_2 = RECIPE + "version = 2\n[policy]\nsample_share = 0.05\n"
VERSION_3 = RECIPE + "version = 3\n[policy]\nsample_share = 0.1\n"


def test_a_change_goes_its_way_and_back(station: Station) -> None:
    """Proposed, signed, in force, in force no more: each step by a person, and nothing before its step."""
    before = station.files()["recipe.toml"]

    assert 0 == station.propose(VERSION_2)
    assert before == station.files()["recipe.toml"]
    assert "escapes  0.00% (0 of 120, 95 %: 0.00% to 3.03%)" in station.said
    assert "overkill 5.00% (10 of 200, 95 %: 2.42% to 9.00%)" in station.said
    assert 0 == station.approve(2)
    assert before == station.files()["recipe.toml"]
    assert 0 == station.activate(2)
    assert (2, 0.05, "QE2") == (
        station.loaded().recipe.version, station.loaded().recipe.policy.sample_share, station.loaded().approval.person
    )  # fmt: skip
    assert 0 == station.run("recipe", "rollback", "--person", "TECH", "--why", "more review than minutes")
    assert (1, None) == (station.loaded().recipe.version, station.loaded().approval)
    assert before == (station.folder / "recipes/lid/v0001.toml").read_bytes()
    done = history(shelf_of(station.loaded().recipe_path, station.loaded().recipe))
    assert [("activated", 2, 1, "TECH", "QE2", ""), ("rolled_back", 1, 2, "TECH", "", "more review than minutes")] == [
        (one.action, one.version, one.before, one.actor, one.person, one.why) for one in done
    ]
    assert 0 == station.run("recipe", "history")
    assert ["in force, not approved", "was in force, signed by QE2"] == [
        line.split(": ", 1)[1][: len(text)]
        for line, text in zip(station.said.splitlines(), ["in force, not approved", "was in force, signed by QE2"])  # noqa: B905  further lines follow
    ]


def test_numbers_go_on_after_a_rollback(station: Station) -> None:
    """A version number is given once; the version that was rolled back may come back as it was signed."""
    station.propose(VERSION_2)
    station.approve(2)
    station.activate(2)
    station.run("recipe", "rollback", "--person", "TECH", "--why", "x")

    assert 2 == station.propose(VERSION_2.replace("0.05", "0.07"))
    assert "version 2 is proposed, the next one is 3" in station.said
    assert 0 == station.activate(2)
    assert 0 == station.propose(VERSION_3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RECIPE + "version = 2\n", ["changes 0 values", "at least 1"]),
        (RECIPE + "version = 2\n# a comment\n[policy]\nsample_share = 0.01\n", ["changes 0 values"]),
        (VERSION_3, ["version 3 is proposed, the next one is 2"]),
        (VERSION_2.replace("version = 2", "version = 1"), ["version 1 is proposed, the next one is 2"]),
        (VERSION_2.replace('"lid"', '"cap"'), ["another recipe"]),
        (RECIPE + 'version = 2\nmode = "primary"\n', ["from parallel to primary", "parallel transition"]),
        (VERSION_2.replace("0.05", "1.5"), ["policy.sample_share", "<= 1"]),
        (RECIPE + 'version = 2\n[policy]\nbasis = "risk"\n', ["policy.risk: missing", "risk plan"]),
    ],
)
def test_what_is_no_next_version_is_refused_in_one_line(station: Station, text: str, words: list[str]) -> None:
    """Nothing is written of it."""
    before = station.files()

    assert 2 == station.propose(text)
    assert (1, []) == (station.said.count("\n"), [word for word in words if word not in station.said])
    assert before == station.files()


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ("{", ["is not JSON", "risk plan"]),
        ("[1]", ["is no report"]),
        ('{"a": 1}', ["is no report"]),
        ('{"metrics": {"escape_rate": {"k": 3, "n": 2}}}', ["escape_rate has no counts"]),
        ('{"metrics": {}}', ["escape_rate has no counts"]),
        ('{"evidence": "parallel"}', ["holds no scores"]),
        ('{"limits": {"accept_below": 1.0}}', ["limits are none", "reject_above"]),
        (
            json.dumps({"limits": LIMITS}),
            ["plans accept_below 1 for escape_rate 0.005", "has basis limits", "--policy"],
        ),
        ("\udcff", ["is not JSON"]),
    ],
)
def test_a_change_needs_evidence_that_says_what_it_does(station: Station, evidence: str, words: list[str]) -> None:
    """A file that predicts nothing, or speaks of other limits, is no evidence."""
    file = station.folder / "evaluation.json"
    file.write_bytes(evidence.encode("utf-8", "surrogateescape"))

    assert 2 == station.propose(VERSION_2)
    assert (1, []) == (station.said.count("\n"), [word for word in words if word not in station.said]), station.said


def test_limits_by_risk_are_those_of_the_plan(station: Station) -> None:
    """A plan is evidence of its own limits and promise, to the last digit, and its counts get their intervals anew."""
    counts = {"escapes": {"k": 0, "n": 598}, "overkill": {"k": 9, "n": 900}, "review": {"k": 12, "n": 1498}}
    plan = {"limits": LIMITS, "prediction": counts | {"unit": "part", "words": "limits by risk"}}
    (station.folder / "plan.json").write_text(json.dumps(plan), "utf-8")
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in LIMITS.items())
    text = f'{RECIPE}version = 2\n[policy]\nbasis = "risk"\n[policy.risk]\n{table}\n'
    file = str(station.folder / "plan.json")

    for old, new in (("escape_rate = 0.005", "escape_rate = 0.001"), ("accept_below = 1.0", "accept_below = 1.5")):
        assert 2 == station.propose(text.replace(old, new), evidence=file)
        assert "take over [policy]" in station.said
    assert 2 == station.propose(text)
    assert "is an evaluation under the bundle's own limits, policy.basis is risk" in station.said
    assert 0 == station.propose(text, evidence=file)
    assert "escapes  0.00% (0 of 598, 95 %: 0.00% to 0.61%)" in station.said


def test_a_change_needs_any_evidence(station: Station) -> None:
    """Nobody approves what says nothing of its effect."""
    (station.folder / "next.toml").write_text(VERSION_2, "utf-8")
    words = ["recipe", "propose", station.folder / "next.toml", "--person", "QE1", "--why", "x"]

    assert 2 == station.run(*words)
    assert "--evidence" in station.said


@pytest.mark.parametrize(
    ("person", "key", "words"),
    [
        ("MALLORY", "MALLORY", ["'MALLORY'", "does not know"]),
        ("QE1", "MALLORY", ["signed with key", "holds"]),
        ("QE1", "QE2", ["signed with key", "holds"]),
    ],
)
def test_a_stranger_signs_nothing(station: Station, person: str, key: str, words: list[str]) -> None:
    """Only the key that the station holds for a person signs as that person."""
    station.propose(VERSION_2)
    before = station.files()

    assert 2 == station.approve(2, person, key)
    assert (1, []) == (station.said.count("\n"), [word for word in words if word not in station.said])
    assert before == station.files()


def test_nothing_unsigned_or_changed_is_put_in_force(station: Station) -> None:
    """Recipe, evidence and the file behind it are what was signed, to the byte that matters."""
    station.propose(VERSION_2)
    before = station.files()

    assert 2 == station.activate(2)
    assert "no approval lies beside it" in station.said
    assert 2 == station.activate(3)
    assert "there is no version 3; known are 2" in station.said
    assert before == station.files()
    station.approve(2)
    before = station.files()
    for name, old, new, told in (
        ("v0002.proposed.toml", "sample_share = 0.05", "sample_share = 0.01", "was changed after it was proposed"),
        ("v0002.evidence.json", '"trial"', '"other"', "the evidence has SHA-256"),
        ("v0002.source.json", '"k": 10', '"k": 1', "v0002.source.json has SHA-256"),
        ("v0002.approval.json", '"person":"QE2"', '"person":"QE1"', "the station holds"),
    ):
        file = station.folder / "recipes/lid" / name
        whole = file.read_text("utf-8")
        assert old in whole
        file.write_text(whole.replace(old, new), "utf-8")

        assert (2, True) == (station.activate(2), told in station.said), station.said
        file.write_text(whole, "utf-8")
    assert before == station.files()


def test_a_proposal_is_for_one_version_in_force(station: Station) -> None:
    """What was predicted against one recipe is not put in force over another."""
    station.propose(VERSION_2)
    station.approve(2)
    station.propose(VERSION_3)
    station.approve(3)

    assert 0 == station.activate(3)
    assert 2 == station.activate(2)
    assert "was proposed for the recipe of digest" in station.said
    assert 2 == station.activate(3)
    assert "in force already" in station.said


def test_two_persons_where_two_are_demanded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The proposer alone approves nothing; another person's signature completes it."""
    station = Station(tmp_path, capsys, two_persons=True)
    station.propose(VERSION_2, person="QE1")

    assert 0 == station.approve(2, "QE1")
    assert "another one must approve" in station.said
    assert 2 == station.activate(2)
    assert "signed by QE1 alone" in station.said
    assert 2 == station.approve(2, "QE1")
    assert "signed twice by QE1" in station.said
    assert 0 == station.approve(2, "QE2")
    assert 0 == station.activate(2)
    assert 2 == station.approve(2, "QE2")


def test_a_version_is_signed_once(station: Station) -> None:
    """A second signature where one is demanded changes nothing."""
    station.propose(VERSION_2)
    station.approve(2, "QE1")

    assert 2 == station.approve(2, "QE2")
    assert "was signed by QE1 already" in station.said


@pytest.mark.parametrize("broken_at", range(8))
def test_a_crash_between_two_files_never_makes_the_model_primary(
    station: Station, monkeypatch: pytest.MonkeyPatch, broken_at: int
) -> None:
    """Whatever file is the last one written, what is in force is the old version or one that no service starts with,
    and doing it again completes it.
    """  # noqa: D205
    from appliance.storage import recipe_versions

    make_primary(station)
    station.propose(VERSION_3.replace("version = 3", 'version = 3\nmode = "primary"'))
    station.approve(3)
    whole, written = recipe_versions.write_whole, [0]

    def crash(place: Path, content: bytes) -> None:
        written[0] += 1
        if written[0] > broken_at:
            raise ConfigError("the power went")
        whole(place, content)

    monkeypatch.setattr(recipe_versions, "write_whole", crash)
    code = station.activate(3)
    monkeypatch.undo()
    loaded = station.loaded()
    try:
        person = verify(loaded.approval, loaded.recipe, loaded.config.approval.people, two_persons=False).person
    except ConfigError:
        person = ""

    assert (loaded.recipe.version, person) in {(2, "QE1"), (2, ""), (3, "QE2")}
    if code:
        assert 0 == station.activate(3)
    assert (3, "QE2") == (station.loaded().recipe.version, station.loaded().approval.person)


def test_nobody_goes_back_to_what_is_no_longer_trusted(station: Station) -> None:
    """A version that let the model decide is put in force again only while its signature still counts."""
    make_primary(station)
    station.propose(VERSION_3.replace("version = 3", 'version = 3\nmode = "primary"'))
    station.approve(3)
    station.activate(3)
    keys = people()
    text = station.file.read_text("utf-8")
    station.file.write_text(text.replace(f'QE1 = "{keys["QE1"]}", ', ""), "utf-8")
    back = ("recipe", "rollback", "--person", "TECH", "--why", "x")
    before = station.files()

    assert 2 == station.run(*back)
    assert "'QE1', whom this station does not know" in station.said
    assert before == station.files()
    station.file.write_text(text, "utf-8")
    assert 0 == station.run(*back)
    assert (2, "QE1") == (station.loaded().recipe.version, station.loaded().approval.person)


def make_primary(station: Station) -> None:
    """Put a signed primary version in force, as a transition leaves it."""
    import msgspec

    from appliance.governance.approval import sign
    from appliance.governance.recipe_text import render
    from appliance.schema.policy import Mode
    from tests.unit.approval_rig import AT, key_of

    recipe = replace(station.loaded().recipe, version=2, mode=Mode.PRIMARY)
    (station.folder / "recipe.toml").write_text(render(recipe), "utf-8")
    approval = msgspec.json.encode(sign(recipe, "", "QE1", AT, key_of("QE1")))
    (station.folder / "recipe.approval.json").write_bytes(approval)


def test_a_key_is_made_for_one_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The private half is for its owner alone and never written over; the station takes the public half."""
    file = tmp_path / "qe3.pem"

    assert 0 == main(["recipe", "keygen", "--person", "QE3", "--out", str(file)])
    assert 0o600 == file.stat().st_mode & 0o777
    assert capsys.readouterr().out.splitlines()[-1].startswith('QE3 = "')
    assert 2 == main(["recipe", "keygen", "--person", "QE3", "--out", str(file)])
    assert "is there already" in capsys.readouterr().err


def test_show_and_diff_say_what_is_signed(station: Station) -> None:
    """A person reads every value, what it is expected to do, and what differs."""
    station.propose(VERSION_2)

    assert 0 == station.run("recipe", "show", "2")
    assert [] == [
        word
        for word in ("sample_share = 0.05", "proposed, not approved", "proposed by QE1", "escapes  0.00% (0 of 120")
        if word not in station.said
    ]
    assert 0 == station.run("recipe", "diff", "2")
    assert "policy.sample_share: 0.01 -> 0.05\n1 values differ between versions 1 and 2\n" == station.said


@pytest.mark.parametrize("name", ["a/b", "..", "", "a" * 65, "-x"])
def test_a_recipe_whose_name_is_no_folder_has_no_versions(station: Station, name: str) -> None:
    """A name never leads out of the folder of versions."""
    (station.folder / "recipe.toml").write_text(RECIPE.replace('"lid"', json.dumps(name)), "utf-8")

    assert 2 == station.run("recipe", "history")
    assert "cannot name a folder" in station.said
