"""Relate pixels, millimetres and tiles; no image is touched here."""
