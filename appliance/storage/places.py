"""Name what the store keeps in the station's state folder."""

DATABASE = "record.db"
"""File of the record database."""

IMAGES = "images"
"""Folder of the image files."""
