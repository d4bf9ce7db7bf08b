"""Protect the reference of the station file: it lists every key with what a person needs to set it."""

import msgspec
import pytest
from msgspec import inspect

from appliance import config_reference
from appliance.config import Camera, Config, Judge, Mcu, Record, Station
from appliance.config_people import Parallel, Signers
from appliance.config_plant import Logix, Mqtt, Opcua, Plc, Sparkplug
from appliance.config_reference import render

TABLES = (Station, Camera, Mcu, Judge, Plc, Opcua, Mqtt, Sparkplug, Logix, Record, Signers, Parallel)


def rows() -> list[list[str]]:
    """Give the cells of each key's row."""
    lines = [line.replace("\\|", "/") for line in render().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_key_is_listed() -> None:
    """A key that is missing here would be found only by reading the source."""
    expected = [f"`{field.encode_name}`" for table in TABLES for field in msgspec.structs.fields(table)]

    assert sorted(expected) == sorted(row[0] for row in rows())


def test_every_table_is_known_here() -> None:
    """The test above covers each table of the configuration."""
    fields = inspect.type_info(Config)

    assert isinstance(fields, inspect.StructType)
    assert len(fields.fields) == len(TABLES)


def test_every_key_says_why() -> None:
    """Each key states unit and reason, and each number a range: a value without one cannot be judged."""
    bare = [row[0] for row in rows() if not row[4] or (row[1] in {"integer", "number"} and not row[2])]

    assert bare == []


@pytest.mark.parametrize(
    ("key", "cells"),
    [
        ("gate_mm", ["number", "(0, 50000]", "must be given"]),
        ("port", ["integer", "[1, 65535]", "`502`"]),
        ("pixel_format", ["one of", "`Mono8`, `BayerRG8`, `RGB8`", '`"BayerRG8"`']),
        ("runtime", ["text", "`^(openvino/onnx/onnx-cuda/onnx-tensorrt/tensorrt)$`", '`"openvino"`']),
        ("required", ["true or false", "", "`true`"]),
    ],
)
def test_cells(key: str, cells: list[str]) -> None:
    """Types, ranges and defaults are written as a person would."""

    assert cells in [row[1:4] for row in rows() if row[0] == f"`{key}`"]


def test_a_stale_page_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate fails when the page does not say what the source says."""
    page = tmp_path_factory.mktemp("page") / "CONFIG.md"
    page.write_text(render().replace("50000", "60000"))
    monkeypatch.setattr(config_reference, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["config_reference", "--check"])

    assert config_reference.main() == 1
    assert "stale" in capsys.readouterr().err
