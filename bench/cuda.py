"""Measure the CUDA kernels on a real card: time on the device, and bandwidth beside what the card itself copies.

    python -m bench.cuda

Prints a table and writes bench/results/cuda.json. Without a card, its driver, a binding (pycuda, else cupy) or nvcc it
says so in one line and ends with status 2. Frames come from a ring larger than any cache; kernels are interleaved.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.fingerprint import fingerprint
from kernels.cuda import build
from kernels.cuda.anomaly_map import CudaMapFinisher
from kernels.cuda.boxes import CudaBoxDecoder
from kernels.cuda.cupy_driver import CupyDriver
from kernels.cuda.driver import Argument, DriverFault, Pointer
from kernels.cuda.knn import CudaNearest
from kernels.cuda.masks import CudaMaskDecoder
from kernels.cuda.preprocess import CudaPreprocessor
from kernels.cuda.pycuda_driver import PycudaDriver
from kernels.cuda.tiles import CudaTileGatherer
from kernels.plan import Normalisation

ROWS, COLUMNS = 2048, 2448
"""The 5 MB frame of a common line camera sensor (IMX264 class)."""
RING_FRAMES = 40
"""200 MB: more than the second-level cache of any card, 50 MB on the largest here."""
ROUNDS, EACH = 40, 20
COPY_BYTES = 512 << 20
UNAVAILABLE = 2

Card = PycudaDriver | CupyDriver


class Case:
    """Hold one launch and the bytes that it must move at least."""

    def __init__(self, name: str, moved: int, run: Callable[[int], object]) -> None:
        self.name, self.moved, self.run = name, moved, run
        self.times_us: list[float] = []


def open_card() -> Card:
    """Give the card through the first binding that works; DriverFault with both reasons."""
    try:
        return PycudaDriver()
    except DriverFault as first:
        try:
            return CupyDriver()
        except DriverFault as second:
            raise DriverFault(f"{first}; {second}") from second


class Bench:
    """Hold a card, the kernels, a ring of frames in its memory, and one stream."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.module = card.module(build.image(build.build()))
        self.stream = card.stream()
        self.random = np.random.default_rng(1)
        frame = self.random.integers(0, 256, ROWS * COLUMNS, dtype=np.uint8)
        self.ring = [self.put(np.roll(frame, number)) for number in range(RING_FRAMES)]

    def put(self, array: np.ndarray) -> Pointer:
        """Give device memory with the array's values."""
        pointer = self.card.allocate(array.nbytes)
        self.card.upload(pointer, array, self.stream)
        self.card.synchronise(self.stream)
        return pointer

    def frame(self, turn: int) -> Pointer:
        """Give the frame of a turn, the next one each time."""
        return self.ring[turn % RING_FRAMES]

    def preprocessing(self, side: int, normalisation: Normalisation | None) -> Case:
        """Take a whole frame to a square of `side`."""
        made = CudaPreprocessor(self.card, self.module, (ROWS, COLUMNS), "BayerRG8", None, (side, side), normalisation)
        out = self.card.allocate(made.result_bytes)
        kind = "planes" if normalisation else "bytes"
        moved = ROWS * COLUMNS + made.result_bytes
        return Case(
            f"preprocess BayerRG8 -> {side} {kind}", moved, lambda turn: made.run(self.frame(turn), out, self.stream)
        )

    def tiles(self, side: int) -> Case:
        """Take a frame as tiles that overlap by an eighth, at native resolution."""
        origins = np.array([(x, y) for y in range(0, ROWS, side * 7 // 8) for x in range(0, COLUMNS, side * 7 // 8)])
        made = CudaTileGatherer(
            self.card, self.module, (ROWS, COLUMNS), "BayerRG8", origins, (side, side), (side, side), self.stream
        )
        out = self.card.allocate(len(origins) * made.tile_bytes)
        moved = ROWS * COLUMNS + len(origins) * made.tile_bytes
        return Case(
            f"tiles {len(origins)} x {side}, native", moved, lambda turn: made.run(self.frame(turn), out, self.stream)
        )

    def anomaly_map(self, cells: int, side: int) -> Case:
        """Enlarge, blur and search one map."""
        made = CudaMapFinisher(self.card, self.module, (cells, cells), (side, side), 4.0, self.stream)
        distances = self.put(self.random.random((cells, cells), np.float32))
        out, value, place = (self.card.allocate(size) for size in (4 * side * side, 4, 4))
        moved = 4 * (cells * cells + side * side)
        return Case(
            f"anomaly map {cells} -> {side}, blur 4",
            moved,
            lambda _: made.run(distances, out, value, place, self.stream),
        )

    def decoding(self, boxes: int, classes: int, most: int) -> tuple[Case, Case]:
        """Decode boxes of which one in a hundred scores counts, and the masks of those kept."""
        limits = np.full(classes, 0.99, np.float32)
        made = CudaBoxDecoder(self.card, self.module, boxes, classes, most, limits, 0.5, self.stream)
        corners = self.random.random((boxes, 2), np.float32) * 350
        box = self.put(np.concatenate([corners, corners + 50], axis=1))
        score = self.put(self.random.random((boxes, classes), np.float32))
        masker = CudaMaskDecoder(self.card, self.module, made, 32, 104, 104, (0.25, 0.25))
        coefficient = self.put(self.random.random((boxes, 32), np.float32))
        prototype = self.put(self.random.random((32, 104, 104), np.float32))
        made.run(box, score, self.stream)
        return (
            Case(
                f"boxes {boxes} x {classes}, at most {most}",
                4 * boxes * (4 + classes),
                lambda _: made.run(box, score, self.stream),
            ),
            Case(
                f"masks 32 x 104 x 104, at most {most}",
                32 * 104 * 104 * 4 + most * 104 * 104,
                lambda _: masker.run(coefficient, prototype, box, self.stream),
            ),
        )

    def nearest(self, features: int, channels: int, vectors: int) -> Case:
        """Search a memory bank."""
        bank = self.random.random((vectors, channels), np.float32)
        made = CudaNearest(self.card, self.module, bank, features, self.stream)
        feature = self.put(self.random.random((features, channels), np.float32))
        distance, place = self.card.allocate(4 * features), self.card.allocate(4 * features)
        return Case(
            f"nearest {features} x {channels} of {vectors}",
            4 * channels * (features + vectors),
            lambda _: made.run(feature, distance, place, self.stream),
        )

    def copy_gb_s(self) -> float:
        """Give what the card copies, read and written bytes together."""
        source, target = self.card.allocate(COPY_BYTES), self.card.allocate(COPY_BYTES)
        pairs = COPY_BYTES // 16
        arguments: list[Argument] = [source, target, np.int64(pairs)]

        def run() -> None:
            self.card.launch(
                self.module, "bandwidth_copy", (-(-pairs // 256), 1, 1), (256, 1, 1), arguments, self.stream
            )

        best = min(self.card.measure_ms(self.stream, run) for _ in range(20))
        self.card.free(source)
        self.card.free(target)
        return 2 * COPY_BYTES / best / 1e6

    def upload_gb_s(self) -> float:
        """Give what a page-locked frame is uploaded at."""
        frame = self.card.pinned((ROWS * COLUMNS,), np.dtype(np.uint8))
        best = min(
            self.card.measure_ms(self.stream, lambda: self.card.upload(self.ring[0], frame, self.stream))
            for _ in range(20)
        )
        return ROWS * COLUMNS / best / 1e6


def repeat(case: Case, start: int) -> None:
    for turn in range(start, start + EACH):
        case.run(turn)


def measure(bench: Bench, cases: list[Case]) -> None:
    """Time every case in every round, so that a card that slows down slows all of them."""
    for number in range(ROUNDS + 1):
        for case in cases:
            taken = bench.card.measure_ms(bench.stream, partial(repeat, case, number * EACH))
            if number:  # the first round warms up
                case.times_us.append(taken / EACH * 1000)


def main() -> int:
    try:
        card = open_card()
        bench = Bench(card)
    except (DriverFault, FileNotFoundError, RuntimeError) as missing:
        print(f"bench cuda: not measured: {missing}", file=sys.stderr)
        return UNAVAILABLE
    normalisation = Normalisation((123.7, 116.3, 103.5), (0.017, 0.018, 0.017))
    cases = [
        *(bench.preprocessing(side, None) for side in (224, 256, 512)),
        bench.preprocessing(512, normalisation),
        bench.tiles(512),
        bench.anomaly_map(32, 256),
        *bench.decoding(3549, 5, 100),
        *(bench.nearest(1024, 384, vectors) for vectors in (1000, 5000, 20000)),
    ]
    measure(bench, cases)
    copied, uploaded = bench.copy_gb_s(), bench.upload_gb_s()
    rows = {
        case.name: {
            "p50_us": round(float(np.median(case.times_us)), 2),
            "p99_us": round(float(np.percentile(case.times_us, 99)), 2),
            "bytes": case.moved,
            "gb_s": round(case.moved / float(np.median(case.times_us)) / 1000, 1),
            "share_of_copy": round(case.moved / float(np.median(case.times_us)) / 1000 / copied, 3),
        }
        for case in cases
    }
    told = {
        "device": card.name,
        "compute_capability": ".".join(map(str, card.compute_capability)),
        "driver": card.driver_version,
        "binding": type(card).__name__,
        "copy_gb_s": round(copied, 1),
        "upload_gb_s": round(uploaded, 1),
        "kernels": rows,
        "machine": fingerprint(),
    }
    print(f"{card.name}, {card.driver_version}: copies {copied:.0f} GB/s, uploads a frame at {uploaded:.1f} GB/s")
    for name, row in rows.items():
        print(f"{name:38} {row['p50_us']:9.1f} us p50 {row['p99_us']:9.1f} us p99 {row['gb_s']:8.1f} GB/s")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "cuda.json").write_text(json.dumps(told, indent=2) + "\n")
    card.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
