"""The command line: what it takes, and one clear line for what it does not."""

from pathlib import Path

import pytest

from appliance.cli import main


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Give what was said on stderr: one line, nothing on stdout."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err.strip()


def test_a_missing_station_file_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line that names the file and the remedy."""
    path = tmp_path / "none.toml"
    code = main(["run", "judge", "--config", str(path)])

    assert code == 2
    assert one_line(capsys) == (
        f"firstshift: {path}: cannot be read: No such file or directory; give the station's file with --config"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--parts", "0"], "0 parts, at least 1 is needed; give more with --parts"),
        (["demo", "--rate", "1000"], "1000 parts per second, limits are 0.1 and 50; correct --rate"),
        (["bench", "nothing"], "bench 'nothing': unknown; choose one of"),
    ],
)
def test_values_out_of_range_are_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line that names value and limit; nothing is started."""
    code = main(arguments)

    assert code == 2
    assert said in one_line(capsys)


def test_a_scenario_that_is_not_understood_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the scenario is named."""
    path = tmp_path / "odd.txt"
    path.write_text("parts 10\nat 2s explode camera top\n", "utf-8")
    code = main(["demo", "--scenario", str(path)])

    assert code == 2
    assert "odd, line 2: 'at 2s explode camera top' is not understood: 'explode' is no action" in one_line(capsys)


def test_wrong_usage_is_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command ends with 2, as interface.md fixes it."""
    with pytest.raises(SystemExit) as ended:
        main(["explode"])

    assert ended.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "run", "check", "camera", "plc", "infer", "bundle", "audit", "bench"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command explains itself and exits with 0."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"firstshift {command}" in capsys.readouterr().out
