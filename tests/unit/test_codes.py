"""Codes: what the library reads becomes findings in frame pixels, and a code that fails its own check has no text."""

import numpy as np
import pytest
import zxingcpp
from zxingcpp import BarcodeFormat

from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box
from appliance.tasks.codes import CodeReader
from tests.unit.ocr_rig import FRAME, as_format

GS1 = "(01)09501101530003(10)AB-123(21)77"
CARRIED = "010950110153000310AB-123\x1d2177"
REGION = Box(901, 701, 901, 501)


def printed(content: str, symbology: BarcodeFormat, at=(1000, 800), scale=4, **options: object) -> np.ndarray:
    """Give a grey frame with one code, its upper left at (x, y)."""
    code = np.array(
        zxingcpp.write_barcode_to_image(zxingcpp.create_barcode(content, symbology, **options), scale=scale)
    )
    frame = np.full(FRAME, 200, np.uint8)
    frame[at[1] : at[1] + code.shape[0], at[0] : at[0] + code.shape[1]] = np.clip(code, 30, 200)
    return frame


@pytest.mark.parametrize("pixel_format", ["Mono8", "BayerRG8", "RGB8"])
@pytest.mark.parametrize(
    ("content", "symbology", "options", "name", "text"),
    [
        (GS1, BarcodeFormat.DataMatrix, {"gs1": True}, "GS1-DataMatrix", "]d2" + CARRIED),
        (GS1, BarcodeFormat.Code128, {"gs1": True}, "Code128", "]C1" + CARRIED),
        (GS1, BarcodeFormat.QRCode, {"gs1": True}, "QRCode", "]Q3" + CARRIED),
        ("SN 4711/b", BarcodeFormat.DataMatrix, {}, "DataMatrix", "]d1SN 4711/b"),
        ("Größe 4", BarcodeFormat.QRCode, {}, "qr code", "]Q1Größe 4"),
        ("9501101530003", BarcodeFormat.EAN13, {}, "EAN-13", "]E09501101530003"),
    ],
)
def test_codes_are_read(pixel_format, content, symbology, options, name, text):
    """The text is the AIM identifier and the data, with GS1 separators as they are, at native resolution."""
    raw = as_format(printed(content, symbology, scale=2, **options), pixel_format)
    raw.flags.writeable = False
    found = CodeReader((name,), REGION, pixel_format).read(raw)

    assert [finding.text for finding in found] == [text]
    assert [finding.kind for finding in found] == ["code"]


def test_a_code_lies_where_it_is():
    """Polygon, box and area are in frame pixels, also when only a region was looked at."""
    frame = printed("SN 4711", BarcodeFormat.DataMatrix, scale=6)
    ink = np.argwhere(frame < 100)
    (finding,) = CodeReader((), REGION, "Mono8").read(frame)
    (whole,) = CodeReader((), None, "Mono8").read(frame)
    box = finding.box

    assert abs(box.x_px - ink[:, 1].min()) < 6
    assert abs(box.y_px - ink[:, 0].min()) < 6
    assert abs(box.x_px + box.width_px - ink[:, 1].max()) < 8
    assert abs(finding.area_px - box.width_px * box.height_px) < 0.1 * finding.area_px
    assert whole.polygon == finding.polygon


def test_a_code_that_fails_its_check_has_no_text():
    """A Code 128 with one bar changed is found, reported, and has no text to satisfy a rule with."""
    frame = printed("HELLO123", BarcodeFormat.Code128)
    texts = set()
    for column in range(1040, 1400, 4):
        spoilt = frame.copy()
        spoilt[:, column : column + 4] = 230 - spoilt[:, column : column + 4]
        found = CodeReader(("Code128",), REGION, "Mono8").read(spoilt)
        texts |= {(finding.text, finding.score) for finding in found}

    assert ("", 0.0) in texts
    assert texts <= {("", 0.0), ("]C0HELLO123", 1.0)}


def test_other_symbologies_are_not_reported():
    """A reader for Data Matrix codes does not see a QR code."""
    frame = printed("SN 4711", BarcodeFormat.QRCode)

    assert CodeReader(("DataMatrix",), REGION, "Mono8").read(frame) == ()
    assert len(CodeReader(("DataMatrix", "QRCode"), REGION, "Mono8").read(frame)) == 1


@pytest.mark.parametrize("region", [Box(5000, 10, 50, 50), Box(10, 10, 0, 0), Box(-50, -50, 20, 20), Box(10, 10, 3, 3)])
def test_a_region_without_pixels_has_no_code(region):
    """A region outside the frame, or too small for any code, gives no finding and no fault."""
    frame = printed("SN 4711", BarcodeFormat.QRCode)

    assert CodeReader((), region, "BayerRG8").read(as_format(frame, "BayerRG8")) == ()


def test_unknown_names_are_refused():
    """A symbology or pixel format nobody knows is refused when the reader is made."""
    with pytest.raises(ConfigError, match="symbology BarOfSoap is not one of aztec"):
        CodeReader(("BarOfSoap",), None, "Mono8")
    with pytest.raises(RuntimeFault, match="pixel format Mono12"):
        CodeReader((), None, "Mono12")
