"""Measure what each CPU kernel costs beside the usual libraries, and how far it is from what memory allows.

    python -m bench.preprocess

Prints a table and writes bench/results/preprocess.json. Every round runs all contestants of a group one after another,
so a busy machine slows them alike: ratios are medians of the ratios of single rounds, from CPU times of one thread.
Where numba is importable, its version of the preprocessing takes part too.
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.fingerprint import fingerprint
from kernels import reference
from kernels.anomaly_map import MapFinisher
from kernels.boxes import BoxDecoder
from kernels.k_centre import k_centre
from kernels.knn import Bank
from kernels.masks import MaskDecoder
from kernels.plan import Normalisation
from kernels.preprocess import Preprocessor
from kernels.tiles import TileGatherer

ROWS, COLS = 2048, 2448
"""The 5 MB frame of a common line camera sensor (IMX264 class)."""
SIZES = (224, 256, 416, 512)
NORMALISATION = Normalisation((123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375))
"""Mean and deviation of the ImageNet training set in grey levels, as torchvision states them."""
ROUNDS = 25
ROUND_MS = 4.0
"""A contestant repeats its call in a round until it took so long, so that the clock's steps do not count."""

ONE_THREAD = "OPENBLAS_NUM_THREADS"
"""numpy's matrix products spin on a second core otherwise, which counts as CPU time."""

Contestant = Callable[[], object]
Told = dict[str, Any]


def rounds(contestants: dict[str, Contestant]) -> dict[str, list[float]]:
    """Give the CPU ms per call of each contestant in each round."""
    repeats = {}
    for name, action in contestants.items():
        action()
        started = time.process_time()
        action()
        repeats[name] = max(1, round(ROUND_MS / max(1e-3, (time.process_time() - started) * 1e3)))
    told: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, action in contestants.items():
            started = time.process_time()
            for _ in range(repeats[name]):
                action()
            told[name].append((time.process_time() - started) / repeats[name] * 1e3)
    return told


def compared(ours: Contestant, others: dict[str, Contestant], moved: int = 0, peak_gb_s: float = 0.0) -> Told:
    """Give median and least CPU ms of each, and the other's time over ours; `moved` bytes are read and written."""
    times = rounds({"ours": ours, **others})
    told: Told = {
        name: {"cpu_ms": round(float(np.median(ms)), 4), "least_ms": round(min(ms), 4)} for name, ms in times.items()
    }
    for name in others:
        told[name]["times_ours"] = round(float(np.median(np.divide(times[name], times["ours"]))), 2)
    if moved:
        told["ours"]["bytes_moved"] = moved
        told["ours"]["share_of_memory_peak"] = round(moved / 1e6 / told["ours"]["cpu_ms"] / peak_gb_s, 3)
    return told


def memory() -> Told:
    """Measure one thread's read and copy bandwidth: of a buffer too large for any cache, and of a hot frame."""
    large, target = np.ones(256 << 20, np.uint8), np.ones(256 << 20, np.uint8)
    frame, copy = np.ones(ROWS * COLS, np.uint8), np.ones(ROWS * COLS, np.uint8)
    times = rounds(
        {
            "read_large": lambda: np.bitwise_or.reduce(large.view(np.uint64)),
            "copy_large": lambda: np.copyto(target, large),
            "read_frame": lambda: np.bitwise_or.reduce(frame.view(np.uint64)),
            "copy_frame": lambda: np.copyto(copy, frame),
        }
    )
    moved = {
        "read_large": large.size,
        "copy_large": 2 * large.size,
        "read_frame": frame.size,
        "copy_frame": 2 * frame.size,
    }
    return {f"{name}_gb_s": round(moved[name] / 1e6 / float(np.median(ms)), 1) for name, ms in times.items()}


def images(random: np.random.Generator, peak_gb_s: float) -> dict[str, Told]:
    """Compare whole frames to model inputs with debayer, INTER_AREA and numpy's normalisation."""
    frames = {
        "BayerRG8": random.integers(0, 256, (ROWS, COLS), dtype=np.uint8),
        "Mono8": random.integers(0, 256, (ROWS, COLS), dtype=np.uint8),
        "RGB8": random.integers(0, 256, (ROWS, COLS, 3), dtype=np.uint8),
    }
    told = {}
    for pixel_format, frame in frames.items():
        for size in SIZES if pixel_format == "BayerRG8" else SIZES[::3]:
            name = f"preprocess {pixel_format} {COLS} x {ROWS} to {size}"
            told[name] = image(frame, pixel_format, size, peak_gb_s)
    return told


def image(frame: np.ndarray, pixel_format: str, size: int, peak_gb_s: float) -> Told:
    pixels, planes = np.zeros((size, size, 3), np.uint8), np.zeros((3, size, size), np.float32)
    ours = Preprocessor((ROWS, COLS), pixel_format, None, (size, size))
    normalised = Preprocessor((ROWS, COLS), pixel_format, None, (size, size), normalisation=NORMALISATION)
    mean, scale = (np.array(values, np.float32) for values in NORMALISATION)

    def resized() -> np.ndarray:
        colour = cv2.cvtColor(frame, cv2.COLOR_BayerRGGB2RGB) if pixel_format == "BayerRG8" else frame
        small = cv2.resize(colour, (size, size), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_GRAY2RGB) if pixel_format == "Mono8" else small

    def usual() -> np.ndarray:
        return np.ascontiguousarray(((resized().astype(np.float32) - mean) * scale).transpose(2, 0, 1))

    others: dict[str, Contestant] = {
        "ours, float32 planes": lambda: normalised.run(frame, planes),
        "cv2 colour + INTER_AREA": resized,
        "cv2 colour + INTER_AREA + numpy normalise": usual,
    }
    if pixel_format == "BayerRG8" and importlib.util.find_spec("numba"):
        others["numba, the same sums"] = with_numba(frame, size)
    told = compared(lambda: ours.run(frame, pixels), others, frame.nbytes + pixels.nbytes, peak_gb_s)
    planes_told, usual_ms = told["ours, float32 planes"], told["cv2 colour + INTER_AREA + numpy normalise"]["cpu_ms"]
    planes_told["usual_over_this"] = round(usual_ms / planes_told["cpu_ms"], 2)
    planes_told["bytes_moved"] = frame.nbytes + planes.nbytes
    planes_told["share_of_memory_peak"] = round(
        (frame.nbytes + planes.nbytes) / 1e6 / planes_told["cpu_ms"] / peak_gb_s, 3
    )
    return told


def with_numba(frame: np.ndarray, size: int) -> Contestant:
    """Give the Bayer preprocessing as numba compiles it: weighted rows, running sums, two look-ups per value."""
    from numba import njit  # noqa: PLC0415  present in some measurements only

    rows, cols = frame.shape[0] // 2, frame.shape[1] // 2
    weights = reference.area_weights(rows, size) * rows / size
    first, count = (weights > 0).argmax(axis=1), (weights > 0).sum(axis=1)
    bounds = np.arange(size + 1) * cols / size
    edge = np.minimum(bounds.astype(np.int64), cols)
    fraction, dense = (bounds - edge).astype(np.float32), weights.astype(np.float32)
    red, blue = np.zeros(2 * cols, np.float32), np.zeros(2 * cols, np.float32)
    running, out = np.zeros((4, cols + 2), np.float32), np.zeros((size, size, 3), np.uint8)

    @njit(fastmath=True, boundscheck=False)
    def run(frame, weights, first, count, edge, fraction, red, blue, running, out):  # noqa: ANN001, ANN202
        size, cols = out.shape[0], red.size // 2
        area = np.float32(1.0) / np.float32(cols / size * rows / size)
        for y in range(size):
            red[:] = 0
            blue[:] = 0
            for k in range(first[y], first[y] + count[y]):
                weight = weights[y, k]
                upper, lower = frame[2 * k], frame[2 * k + 1]
                for x in range(2 * cols):
                    red[x] += weight * np.float32(upper[x])
                    blue[x] += weight * np.float32(lower[x])
            a = b = c = d = np.float32(0)
            for x in range(cols):
                running[0, x], running[1, x], running[2, x], running[3, x] = a, b, c, d
                a += red[2 * x]
                b += red[2 * x + 1]
                c += blue[2 * x]
                d += blue[2 * x + 1]
            for x in range(cols, cols + 2):
                running[0, x], running[1, x], running[2, x], running[3, x] = a, b, c, d
            for x in range(size):
                i, j, f, g = edge[x], edge[x + 1], fraction[x], fraction[x + 1]
                for lane in range(3):
                    line = running[3 if lane == 2 else lane]
                    value = line[j] - line[i] + g * (line[j + 1] - line[j]) - f * (line[i + 1] - line[i])
                    if lane == 1:
                        line = running[2]
                        value += line[j] - line[i] + g * (line[j + 1] - line[j]) - f * (line[i + 1] - line[i])
                        value *= np.float32(0.5)
                    out[y, x, lane] = np.uint8(value * area + np.float32(0.5))

    return lambda: run(frame, dense, first, count, edge, fraction, red, blue, running, out)


def tiles(random: np.random.Generator) -> dict[str, Told]:
    """Compare a batch of 12 overlapping tiles with slicing and cv2, per tile colour and resize."""
    told = {}
    origins = np.array([[x, y] for y in (0, 512, 1024) for x in (0, 600, 1200, 1800)])
    for pixel_format in ("BayerRG8", "Mono8", "RGB8"):
        frame = random.integers(0, 256, (ROWS, COLS, 3) if pixel_format == "RGB8" else (ROWS, COLS), dtype=np.uint8)
        for size in (640, 416):
            gatherer = TileGatherer((ROWS, COLS), pixel_format, origins, (640, 640), (size, size))
            batch, theirs = (np.zeros((len(origins), size, size, 3), np.uint8) for _ in range(2))

            def sliced(frame=frame, size=size, theirs=theirs, pixel_format=pixel_format) -> None:  # noqa: ANN001
                for place, (x, y) in enumerate(origins):
                    tile = frame[y : y + 640, x : x + 640]
                    if pixel_format == "BayerRG8":
                        tile = cv2.cvtColor(tile, cv2.COLOR_BayerRGGB2RGB)
                    if size != 640:
                        tile = cv2.resize(tile, (size, size), interpolation=cv2.INTER_AREA)
                    theirs[place] = cv2.cvtColor(tile, cv2.COLOR_GRAY2RGB) if pixel_format == "Mono8" else tile

            name = f"12 tiles {pixel_format} of 640 px to {size}"
            told[name] = compared(
                lambda gatherer=gatherer, frame=frame, batch=batch: gatherer.run(frame, batch), {"slices + cv2": sliced}
            )
    return told


def maps(random: np.random.Generator) -> dict[str, Told]:
    """Compare the finished anomaly map with resize, GaussianBlur and minMaxLoc."""
    told = {}
    for cells, size in ((32, 256), (64, 512)):
        distances, out = random.random((cells, cells)).astype(np.float32), np.zeros((size, size), np.float32)
        finisher = MapFinisher((cells, cells), (size, size), 4.0)

        def usual(distances=distances, size=size) -> object:  # noqa: ANN001
            return cv2.minMaxLoc(cv2.GaussianBlur(cv2.resize(distances, (size, size)), (33, 33), 4.0))

        told[f"anomaly map {cells} to {size}, blur of 4 px"] = compared(
            lambda finisher=finisher, distances=distances, out=out: finisher.run(distances, out),
            {"cv2 resize + GaussianBlur + minMaxLoc": usual},
        )
    return told


def boxes(random: np.random.Generator) -> dict[str, Told]:
    """Compare box decode with numpy's threshold and OpenCV's suppression per class."""
    told = {}
    for count, classes in ((3549, 3), (8400, 80)):
        corner = random.uniform(0, 600, (count, 2))
        corners = np.hstack([corner, corner + random.uniform(5, 90, (count, 2))]).astype(np.float32)
        scores = (random.random((count, classes)) ** (40 * classes)).astype(np.float32)
        thresholds = np.full(classes, 0.4, np.float32)
        decoder = BoxDecoder(count, classes, 300)
        sizes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])

        def usual(scores=scores, sizes=sizes) -> object:  # noqa: ANN001
            index, kind = np.nonzero(scores >= 0.4)
            return cv2.dnn.NMSBoxesBatched(sizes[index].tolist(), scores[index, kind].tolist(), kind.tolist(), 0.4, 0.5)

        told[f"boxes {count} x {classes}, {(scores >= 0.4).sum()} over the threshold"] = compared(
            lambda decoder=decoder, corners=corners, scores=scores, thresholds=thresholds: decoder.run(
                corners, scores, thresholds, 0.5
            ),
            {"numpy + cv2.dnn.NMSBoxesBatched": usual},
        )
    return told


def masks(random: np.random.Generator) -> dict[str, Told]:
    """Compare one mask decode with numpy's product, sigmoid and threshold inside the box."""
    prototypes = random.normal(size=(32, 104, 104)).astype(np.float32)
    coefficients, out = random.normal(size=32).astype(np.float32), np.zeros((104, 104), np.uint8)
    decoder = MaskDecoder(32, 104, 104)

    def usual(x1: int, y1: int, x2: int, y2: int) -> int:
        sums = np.tensordot(coefficients, prototypes[:, y1:y2, x1:x2], axes=1)
        out[:] = 0
        out[y1:y2, x1:x2] = 1 / (1 + np.exp(-sums)) > 0.5
        return int(out.sum())

    return {
        f"mask of 32 prototypes 104 x 104, box {x2 - x1} x {y2 - y1}": compared(
            lambda box=(x1, y1, x2, y2): decoder.run(coefficients, prototypes, box, out),
            {"numpy": lambda box=(x1, y1, x2, y2): usual(*box)},
        )
        for x1, y1, x2, y2 in ((0, 0, 104, 104), (30, 40, 62, 72))
    }


def neighbours(random: np.random.Generator) -> dict[str, Told]:
    """Compare distances to a memory bank with numpy and with the search inside the graph, in each precision at hand."""
    told = {}
    for vectors in (1000, 5000):
        features = random.normal(size=(1024, 152)).astype(np.float32)
        bank, out = random.normal(size=(vectors, 152)).astype(np.float32), np.zeros(1024, np.float32)
        packed, squares = Bank(bank), (bank**2).sum(axis=1)

        def usual(features=features, bank=bank, squares=squares) -> object:  # noqa: ANN001
            nearest = (squares - 2 * (features @ bank.T)).min(axis=1)
            return np.sqrt(np.maximum(nearest + (features**2).sum(axis=1), 0))

        others: dict[str, Contestant] = {"numpy": usual}
        others |= {f"OpenVINO graph, {name}": run for name, run in graphs(bank, features).items()}
        group = compared(lambda packed=packed, features=features, out=out: packed.nearest(features, out), others)
        group["ours"]["gflop_s"] = round(2 * 1024 * 152 * vectors / 1e6 / group["ours"]["cpu_ms"], 1)
        told[f"1024 features x 152 to {vectors} vectors"] = group
    return told


def graphs(bank: np.ndarray, features: np.ndarray) -> dict[str, Contestant]:
    """Give the search as the product's graph does it, compiled by OpenVINO for one thread."""
    import openvino as ov  # noqa: PLC0415  its compiled graphs are wanted in this group only
    from openvino import opset13 as op  # noqa: PLC0415

    given = op.parameter(list(features.shape), np.float32)
    product = op.matmul(given, op.constant(np.ascontiguousarray(-2 * bank.T)), transpose_a=False, transpose_b=False)
    partial = op.add(product, op.constant((bank**2).sum(axis=1)[None]))
    own = op.reduce_sum(op.multiply(given, given), np.array([1]), keep_dims=False)
    squared = op.add(op.reduce_min(partial, np.array([1]), keep_dims=False), own)
    model = ov.Model([op.sqrt(op.relu(squared))], [given])
    core = ov.Core()
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    told: dict[str, Contestant] = {}
    for precision in ("f32", "bf16") if able else ("f32",):
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
        request = core.compile_model(model, "CPU", options).create_infer_request()
        request.set_input_tensor(ov.Tensor(features, shared_memory=True))
        told[precision] = request.infer
    return told


def choices(random: np.random.Generator) -> dict[str, Told]:
    """Compare the k-centre choice with numpy's."""
    points = random.normal(size=(34_000, 32)).astype(np.float32)
    others: dict[str, Contestant] = {"numpy": lambda: reference.k_centre(points, 20, 0)}
    return {"k-centre, 20 of 34,000 x 32": compared(lambda: k_centre(points, 20, 0), others)}


def debayer_quality(random: np.random.Generator) -> dict[str, float]:
    """Give the mean peak signal-to-noise ratio, dB, of ways to full resolution on painted scenes of known colour."""
    ways: dict[str, list[float]] = {"quads repeated": [], "cv2 bilinear": [], "cv2 edge-aware": [], "ours": []}
    for _ in range(12):
        scene = painted(random)
        raw = np.empty(scene.shape[:2], np.uint8)
        for (row, col), channel in {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2}.items():
            raw[row::2, col::2] = scene[row::2, col::2, channel].round()
        out = np.zeros(scene.shape, np.uint8)
        Preprocessor(raw.shape, "BayerRG8", None, raw.shape).run(raw, out)
        found = (
            reference.colour_points(raw, "BayerRG8").repeat(2, axis=0).repeat(2, axis=1),
            cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB),
            cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB_EA),
            out,
        )
        for values, image in zip(ways.values(), found, strict=True):
            values.append(float(10 * np.log10(255**2 / ((image - scene)[4:-4, 4:-4] ** 2).mean())))
    return {name: round(float(np.mean(values)), 1) for name, values in ways.items()}


def painted(random: np.random.Generator, side: int = 256) -> np.ndarray:
    """Give discs, lines and rectangles of nearly grey colours behind a lens of 0.6 px, (side, side, 3) float64."""
    scene = np.full((side, side, 3), 90.0)
    for _ in range(60):
        colour = (random.uniform(20, 235) * random.uniform(0.75, 1.25, 3)).tolist()
        (x, y, u, v), size = random.integers(0, side, 4).tolist(), int(random.integers(2, 30))
        cv2.circle(scene, (x, y), size, colour, -1)
        cv2.line(scene, (u, v), (x, y), colour, int(random.integers(1, 3)))
        cv2.rectangle(scene, (v, x), (v + size, x + size // 2), colour, -1)
    return cv2.GaussianBlur(scene.clip(0, 255), (0, 0), 0.6)


def main() -> None:
    cv2.setNumThreads(1)
    random = np.random.default_rng(1)
    peaks = memory()
    told: Told = {"memory": peaks, "kernels": {}}
    for group in (
        images(random, peaks["read_large_gb_s"]),
        tiles(random),
        maps(random),
        boxes(random),
        masks(random),
        neighbours(random),
        choices(random),
    ):
        told["kernels"] |= group
    told["debayer_psnr_db"] = debayer_quality(random)
    told["machine"] = fingerprint()
    print("  ".join(f"{name} {value}" for name, value in peaks.items()))
    for name, contestants in told["kernels"].items():
        print(name)
        for who, times in contestants.items():
            rest = "  ".join(f"{key} {value}" for key, value in times.items() if key not in {"cpu_ms", "least_ms"})
            print(f"    {who:44} {times['cpu_ms']:9.3f} ms CPU  {rest}")
    print("debayer PSNR, dB:", told["debayer_psnr_db"])
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "preprocess.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    if os.environ.get(ONE_THREAD) != "1":  # read when numpy is loaded, so the program starts once more
        os.execve(sys.executable, [sys.executable, "-m", "bench.preprocess"], os.environ | {ONE_THREAD: "1"})  # noqa: S606
    main()
