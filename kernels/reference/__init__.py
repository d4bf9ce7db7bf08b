"""Define what every kernel computes, in plain numpy and float64.

This package is the specification: a fast kernel is right when it stays within its stated bound of these functions.
"""

from kernels.reference.anomaly_map import axis_matrix, bilinear_matrix, blur_matrix, finish_map
from kernels.reference.boxes import decode_boxes, overlaps
from kernels.reference.image import (
    area_average,
    area_weights,
    averages,
    colour_points,
    debayer,
    debayers,
    gather_tiles,
    normalised,
    preprocess,
    tile_places,
)
from kernels.reference.masks import decode_mask, mask_sums
from kernels.reference.neighbours import k_centre, nearest

__all__ = [
    "area_average",
    "area_weights",
    "averages",
    "axis_matrix",
    "bilinear_matrix",
    "blur_matrix",
    "colour_points",
    "debayer",
    "debayers",
    "decode_boxes",
    "decode_mask",
    "finish_map",
    "gather_tiles",
    "k_centre",
    "mask_sums",
    "nearest",
    "normalised",
    "overlaps",
    "preprocess",
    "tile_places",
]
