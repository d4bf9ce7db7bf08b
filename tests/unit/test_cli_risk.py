"""`firstshift risk` gives limits with what they promise, or one line that says what is missing."""

import json
import tomllib
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from appliance.cli import main
from appliance.decision.calibration import upper_bound
from appliance.decision.risk_plan import halved
from appliance.evaluation.seen import SEEN, SeenPictures, seen_also, seen_file
from appliance.governance.evidence import prediction
from appliance.schema.bundle import TaskName
from appliance.schema.policy import Basis, Policy
from tests.unit import evaluation_rig as rig

PLACES = tuple((32 * (n % 4), 32 * (n // 4 % 4)) for n in range(24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a bundle that sees brightness and 12 spotted and 20 good test parts of two pictures each."""
    root = tmp_path_factory.mktemp("risk")
    data = rig.write_folders(root / "data", good=40, spots=PLACES)
    generator = np.random.default_rng(3)
    for number in (0, 1):  # a part whose spot is faint, in both pictures
        cv2.imwrite(
            str(data / "test" / "spot" / f"spot{number}.png"), rig.noisy(rig.picture(PLACES[number], 60), generator)
        )
    cv2.imwrite(str(data / "test" / "good" / "test0.png"), rig.noisy(rig.picture((0, 0), 150), generator))
    rig.write_bundle(root / "bundle", TaskName.ANOMALY)
    return root


def plan(folder: Path, *more: str, bundle: str = "bundle", out: Path | None = None) -> tuple[int, dict]:
    """Run the command and read its JSON; empty where it wrote none."""
    place = (out or folder) / "plan.json"
    place.unlink(missing_ok=True)
    code = main(["risk", "plan", str(folder / bundle), "--data", str(folder / "data"), "--json", str(place), *more])
    return code, json.loads(place.read_text()) if place.exists() else {}


def test_needed_says_how_many_defects_prove_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """The exact numbers, in words and as JSON."""
    assert 0 == main(["risk", "needed", "--escape-rate", "0.005"])
    assert capsys.readouterr().out.startswith("598 held-out real parts with defects, none of them accepted")
    assert 0 == main(["risk", "needed", "--escape-rate", "0.001", "--escaped", "0", "--json", "-"])
    assert 2995 == json.loads(capsys.readouterr().out)["needed"]
    assert 0 == main(["risk", "needed", "--escape-rate", "0.1", "--expected"])
    assert capsys.readouterr().out.startswith("9 held-out")
    assert 2 == main(["risk", "needed", "--escape-rate", "5"])
    assert "escape rate 5, must lie between 0 and 1" in capsys.readouterr().err


def test_a_plan_counts_parts_and_writes_the_policy(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part counts once, by its worst picture; the policy reads back, a proposal takes plan and policy."""
    policy = tmp_path / "policy.toml"
    code, found = plan(folder, "--escape-rate", "0.4", "--policy", str(policy))
    own = found["plan"]
    read = msgspec.convert(tomllib.loads(policy.read_text())["policy"], Policy)
    lines = capsys.readouterr().out

    assert (0, 12, 20, 64) == (code, found["defects"], found["good"], found["data"]["pictures"])
    assert (1, 12, 1, 0, 20) == (
        own["escaped"]["k"], own["escaped"]["n"], own["allowed"], own["overkill"]["k"], own["overkill"]["n"]
    )  # fmt: skip
    assert Basis.RISK is read.basis
    assert read.risk is not None
    assert (own["accept_below"], own["reject_above"]) == (read.risk.accept_below, read.risk.reject_above)
    assert (found["bundle"], "f32", found["data"]["sha256"]) == (read.risk.bundle, read.risk.precision, read.risk.data)
    assert (12, 1, 20, 0.4, 0.95) == (
        read.risk.defects, read.risk.escaped, read.risk.good, read.risk.escape_rate, read.risk.assurance
    )  # fmt: skip
    told = prediction((folder / "plan.json").read_bytes(), "plan.json", read)
    assert (1, 12, 0, 20) == (told.escapes.k, told.escapes.n, told.overkill.k, told.overkill.n)
    assert "at most 40 % escapes" in told.words
    assert "at most 40 % of defective parts are accepted, with assurance 95 %; held out 1 of 12" in lines
    assert "the worst of its 2 to 2 pictures" in lines


def test_the_impossible_is_one_line_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the number needed, no file and nothing on standard output."""
    policy = tmp_path / "policy.toml"
    code, found = plan(folder, "--escape-rate", "0.005", "--policy", str(policy))
    said = capsys.readouterr()

    assert (1, {}, "", False) == (code, found, said.out, policy.exists())
    assert 1 == said.err.count("\n")
    assert "impossible with 12 defects at 0.5 % and 95 %: 598 needed without a miss; add 586" in said.err


def test_escapes_per_million_come_from_counts_of_the_line(folder: Path) -> None:
    """The bound of the defect rate and the promise share the error: both hold at half of it each."""
    code, found = plan(folder, "--escapes-per-million", "20000", "--line-defects", "10", "--line-parts", "400")
    bound = upper_bound(10, 400, halved(0.95))
    promise = found["asked"]["wish"]["promise"]

    assert 0 == code
    assert (bound, 0.975, 0.95) == (found["asked"]["defect_rate"], promise["assurance"], found["asked"]["together"])
    assert pytest.approx(0.02 / bound) == promise["escape_rate"]


def test_reviews_are_bounded_per_shift(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What fits is stated with its bound; what cannot is refused with the minutes needed."""
    shift = ("--parts-per-shift", "1000", "--seconds-per-review", "6", "--defect-rate", "0.01")
    code, found = plan(folder, "--escape-rate", "0.4", *shift, "--review-minutes", "40")

    assert (0, True) == (code, found["plan"]["load"]["minutes"] < found["plan"]["load"]["minutes_upper"] <= 40)
    assert "of 40;" in capsys.readouterr().out
    assert (1, {}) == plan(folder, "--escape-rate", "0.4", *shift, "--review-minutes", "1")
    assert "1 review minutes per shift" in capsys.readouterr().err


def test_without_an_escape_rate_limits_of_good_parts_state_their_overkill(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The good-only start: overkill counted and bounded, no word of escapes; the policy takes the bundle's limits."""
    policy = tmp_path / "policy.toml"
    code, found = plan(folder, "--policy", str(policy))
    lines = capsys.readouterr().out

    assert (0, 1, 20) == (code, found["good_only"]["overkill"]["k"], found["good_only"]["overkill"]["n"])
    assert upper_bound(1, 20) == found["good_only"]["overkill_upper"]
    assert 20 == found["good_only"]["fresh"]["images"]
    assert "nothing is promised of escapes" in lines
    assert "limits" == tomllib.loads(policy.read_text())["policy"]["basis"]
    assert "risk" not in tomllib.loads(policy.read_text())["policy"]


def test_without_defects_nothing_can_be_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal points to what good parts alone can give."""
    rig.write_folders(tmp_path / "data", good=40, spots=())
    rig.write_bundle(tmp_path / "bundle", TaskName.ANOMALY)

    assert (1, {}) == plan(tmp_path, "--escape-rate", "0.1")
    assert "impossible with 0 defects at 10 % and 95 %: 29 needed" in capsys.readouterr().err
    assert 0 == plan(tmp_path)[0]


def test_fewer_views_than_pictures_are_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one view to a part one picture tells its score; more than there are is bad input."""
    code, found = plan(folder, "--escape-rate", "0.4", "--views", "1")

    assert (0, 12, 20) == (code, found["defects"], found["good"])
    assert all("the worst of its" not in line for line in found["remarks"])
    assert (2, {}) == plan(folder, "--escape-rate", "0.4", "--views", "3")
    assert "32 of 32 parts have fewer than 3 pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--escape-rate", "0.4", "--split", "odd"), "--split 'odd'"),
        (("--escapes-per-million", "5"), "give --defect-rate"),
        (
            ("--escapes-per-million", "5", "--defect-rate", "0.1", "--line-defects", "1", "--line-parts", "9"),
            "both given",
        ),
        (("--escape-rate", "0.4", "--line-defects", "9", "--line-parts", "9"), "must be fewer than the parts"),
        (("--escape-rate", "0.4", "--line-defects", "9"), "1 given, both are needed"),
        (("--escape-rate", "0.4", "--review-minutes", "9"), "1 given, all 3 are needed"),
        (("--overkill", "0.4"), "no escape rate is given"),
        (("--escape-rate", "0.4", "--sample-share", "2"), "--sample-share 2"),
        (("--escape-rate", "0.4", "--unknown-rate", "0"), "--unknown-rate 0"),
        (("--escape-rate", "0.4", "--threads", "0"), "--threads 0"),
        (("--escape-rate", "1.4"), "escape rate 1.4"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, nothing written."""
    assert (2, {}) == plan(folder, *more)
    error = capsys.readouterr().err
    assert said in error
    assert 1 == error.count("\n")


def test_what_the_bundle_has_seen_promises_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts behind weights or limits are left out, and without any others the plan is refused."""
    from appliance.datasets.reading import read_data

    samples = [one for one in read_data(folder / "data", TaskName.ANOMALY).samples if one.split == "test"]
    spotted = [one for one in samples if one.label == "spot"]
    rig.write_bundle(tmp_path / "some", TaskName.ANOMALY, seen=seen_file(spotted[:4]))
    rig.write_bundle(tmp_path / "all", TaskName.ANOMALY, seen=seen_file(samples))
    (tmp_path / "data").symlink_to(folder / "data")

    assert (10, 20) == tuple(
        plan(tmp_path, "--escape-rate", "0.5", bundle="some")[1][key] for key in ("defects", "good")
    )
    assert (2, {}) == plan(tmp_path, "--escape-rate", "0.5", bundle="all")
    assert "all 64 pictures are of parts that the bundle was made from" in capsys.readouterr().err


def test_a_bundle_that_does_not_say_what_it_saw_needs_a_stated_split(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All pictures of a folder may be the very ones it learned from."""
    assert (2, {}) == plan(folder, "--escape-rate", "0.5", "--split", "all")
    assert "neither the folder nor the bundle says" in capsys.readouterr().err


def test_seen_pictures_add_up(folder: Path) -> None:
    """What is made from a bundle has seen what that one saw; where it did not say, the child does not know all."""
    from appliance.datasets.reading import read_data

    samples = read_data(folder / "data", TaskName.ANOMALY).samples
    both = msgspec.json.decode(seen_also(samples[:2], {SEEN: seen_file(samples[2:5])}), type=SeenPictures)
    alone = msgspec.json.decode(seen_also(samples[:2], {}), type=SeenPictures)

    assert (5, True) == (len(both.sha256), both.complete)
    assert (2, False) == (len(alone.sha256), alone.complete)
