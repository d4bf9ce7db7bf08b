"""Protect what commands are asked to write: whole or not at all, and one line when it cannot be."""

from pathlib import Path

import pytest

from appliance.schema.errors import ConfigError
from appliance.storage.whole_file import write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Folders are made, an earlier file is replaced, and nothing else is left."""
    place = tmp_path / "new" / "sheet.json"
    write_whole(place, b"one")
    write_whole(place, b"two")

    assert place.read_bytes() == b"two"
    assert list(place.parent.iterdir()) == [place]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A file where a folder is wanted: the line names the place, and nothing half written stays."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ConfigError, match="cannot be written"):
        write_whole(tmp_path / "file" / "sheet.json", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
