"""Find out from a camera's description where its chunk data lie, and read them. Pure."""

import io
import struct
import zipfile
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from msgspec import Struct


class ChunkField(Struct, frozen=True):
    """Locate one number inside one chunk."""

    chunk_id: int
    offset: int
    """Bytes from the chunk's start."""
    code: str
    """Format of the `struct` module with byte order, for example `<q`."""


_CODES = {("IntReg", 1): "bB", ("IntReg", 2): "hH", ("IntReg", 4): "iI", ("IntReg", 8): "qQ"}
_FLOATS = {4: "f", 8: "d"}


def chunk_fields(description: bytes, features: tuple[str, ...]) -> dict[str, ChunkField]:
    """Locate chunk features (`ChunkTimestamp` ...) in a description, plain or zipped XML.

    A feature is left out when the camera has none, or computes it by a formula instead of storing it.
    """
    nodes = _nodes(description)
    found = {feature: _field(feature, nodes) for feature in features}
    return {feature: field for feature, field in found.items() if field is not None}


class ChunkReader:
    """Read the located numbers out of chunks; made once, used for each frame."""

    def __init__(self, fields: Mapping[str, ChunkField]) -> None:
        self._by_id: dict[int, list[tuple[str, int, struct.Struct]]] = {}
        for feature, field in fields.items():
            self._by_id.setdefault(field.chunk_id, []).append((feature, field.offset, struct.Struct(field.code)))

    def is_wanted(self, chunk_id: int) -> bool:
        """Tell whether any feature lies in this chunk."""
        return chunk_id in self._by_id

    def read(self, chunk_id: int, data: bytes, into: dict[str, float]) -> None:
        """Add the features of one chunk; too short a chunk adds none."""
        for feature, offset, form in self._by_id[chunk_id]:
            if offset + form.size <= len(data):
                into[feature] = form.unpack_from(data, offset)[0]


def _nodes(description: bytes) -> dict[str, ET.Element]:
    if description[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(description)) as archive:
            description = archive.read(archive.namelist()[0])
    root = ET.fromstring(description.rstrip(b"\0"))  # noqa: S314
    return {name: node for node in root.iter() if (name := node.get("Name")) and not _tag(node).startswith("Enum")}


def _field(feature: str, nodes: Mapping[str, ET.Element]) -> ChunkField | None:
    node = nodes.get(feature)
    while node is not None and _tag(node) in {"Integer", "Float"}:
        node = nodes.get(_text(node, "pValue"))
    if node is None:
        return None
    code = _code(node)
    port = nodes.get(_text(node, "pPort"))
    chunk_id = "" if port is None else _text(port, "ChunkID")
    if not code or not chunk_id or _text(node, "pAddress") or _text(node, "pIndex"):
        return None
    order = ">" if _text(node, "Endianess") == "BigEndian" else "<"
    # GenApi Standard 2.1, Port node: the ChunkID is written in hexadecimal, without a prefix
    return ChunkField(int(chunk_id, 16), int(_text(node, "Address") or "0", 0), order + code)


def _code(node: ET.Element) -> str:
    length = int(_text(node, "Length") or "0", 0)
    if _tag(node) == "FloatReg":
        return _FLOATS.get(length, "")
    pair = _CODES.get((_tag(node), length), "")
    return pair[_text(node, "Sign") != "Signed"] if pair else ""


def _tag(node: ET.Element) -> str:
    return str(node.tag).rpartition("}")[2]


def _text(node: ET.Element, name: str) -> str:
    return next((child.text or "" for child in node if _tag(child) == name), "").strip()
