"""The wheel's networks, wrapped: same numbers as the originals, fixed shapes, only the known files."""

import importlib.metadata

import numpy as np
import onnx
import onnxruntime
import pytest

from appliance.schema.errors import RuntimeFault
from appliance.training import ocr_models
from appliance.training.ocr_models import PRINTED, detection_model, detection_size, direction_model, known_characters
from tests.unit.ocr_rig import parts


def run(model: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: image}), strict=True))


def original(known: tuple[str, str], image: np.ndarray) -> np.ndarray:
    """Give what the wheel's own network says of an RGB image, prepared as its configuration asks."""
    planes = (image[..., ::-1].astype(np.float32) / 255 - 0.5) / 0.5
    return next(iter(run(ocr_models._content(*known), np.ascontiguousarray(planes.transpose(0, 3, 1, 2))).values()))


def test_detection_equals_the_original():
    """Input layout, channel order and scale are part of the graph: same map to 1e-4."""
    image = parts().golden["detection_96x320"][:1].copy()
    image[..., 0] //= 2  # so that a swapped channel shows
    ours = run(detection_model((96, 320)), image)["text"]

    assert ours.shape == (1, 96, 320)
    assert np.abs(ours - original(ocr_models.DETECTION, image)[:, 0]).max() < 1e-4


def test_a_swapped_channel_shows():
    """The comparison above would see RGB taken for BGR."""
    image = parts().golden["detection_96x320"][:1].copy()
    image[..., 0] //= 2
    swapped = np.ascontiguousarray(image[..., ::-1])
    ours = run(detection_model((96, 320)), swapped)["text"]

    assert np.abs(ours - original(ocr_models.DETECTION, image)[:, 0]).max() > 1e-3


def test_recognition_equals_the_original():
    """With all characters kept, index and probability are the original's best class and its softmax."""
    image = parts().golden["recognition_256"]
    whole = ocr_models.recognition_model(256, known_characters())
    for one in image:
        ours, scores = run(whole, one[None]), original(ocr_models.RECOGNITION, one[None])

        assert np.array_equal(ours["index"], scores.argmax(axis=2))
        assert ours["index"].dtype == np.int32
        assert np.abs(ours["probability"] - scores.max(axis=2)).max() < 1e-4


def test_characters_left_out_give_their_share_to_the_others():
    """Keeping some characters keeps their order of probability and never lowers one."""
    kept = tuple(character for character in known_characters() if character in PRINTED)
    places = [0, *(known_characters().index(character) + 1 for character in kept)]
    image = parts().golden["recognition_256"][:1]
    ours, scores = run(parts().models["recognition_256"], image), original(ocr_models.RECOGNITION, image)[..., places]

    assert np.array_equal(ours["index"], scores.argmax(axis=2))
    assert np.abs(ours["probability"] - (scores.max(axis=2) / scores.sum(axis=2))).max() < 1e-4


def test_direction_equals_the_original():
    """`upside_down` is the original's second class."""
    image = np.ascontiguousarray(parts().golden["direction"][:1, ::-1, ::-1])
    ours = run(direction_model(), image)["upside_down"]

    assert ours.shape == (1,)
    assert ours[0] > 0.9
    assert abs(ours[0] - original(ocr_models.DIRECTION, image)[0, 1]) < 1e-5


def test_the_models_state_their_shapes():
    """Every model of a bundle has one uint8 NHWC input of batch 1 and outputs of fixed shapes."""
    for name, model in parts().models.items():
        graph = onnx.load_model_from_string(model).graph
        shapes = [
            tuple(size.dim_value for size in tensor.type.tensor_type.shape.dim)
            for tensor in (*graph.input, *graph.output)
        ]

        assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert shapes[0] == (1, *parts().golden[name].shape[1:])
        assert all(0 not in shape for shape in shapes)


def test_sizes_no_network_takes_are_refused():
    """A detection side that is no multiple of 32, a line width of 8, or an unknown character is named."""
    with pytest.raises(ValueError, match=r"detection input \(100, 320\)"):
        detection_model((100, 320))
    with pytest.raises(ValueError, match="recognition input of 100 columns"):
        ocr_models.recognition_model(100, ("A",))
    with pytest.raises(ValueError, match="unknown to the network"):
        ocr_models.recognition_model(96, ("\x00",))


@pytest.mark.parametrize(
    ("region", "size"),
    [
        ((320, 320), (320, 320)),
        ((320, 100), (96, 320)),
        ((1280, 320), (96, 320)),
        ((90, 640), (320, 64)),
        ((40, 10), (32, 32)),
    ],
)
def test_detection_fits_its_region(region, size):
    """The detection input has the region's shape in steps of 32, at most the region's own pixels or 320."""
    assert detection_size(*region) == size


def test_another_file_is_refused(monkeypatch):
    """A wheel with other bytes under the same name, and no wheel at all, are named faults."""
    with pytest.raises(RuntimeFault, match="expected 0000"):
        ocr_models._content(ocr_models.DIRECTION[0], "0000")
    with pytest.raises(RuntimeFault, match=r"holds no other\.onnx"):
        ocr_models._content("other.onnx", "0000")

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(RuntimeFault, match="rapidocr is not installed"):
        ocr_models._content("any.onnx", "0000")


def test_golden_images_are_the_same_at_every_call():
    """A bundle made twice has equal golden images, and they show text."""
    one, other = ocr_models._golden_images((48, 256), 3), ocr_models._golden_images((48, 256), 3)

    assert np.array_equal(one, other)
    assert min(image.std() for image in one) > 20
