"""Read the record database for the touchscreen."""
