"""Listen to the bus and send wishes; the only file of the touchscreen on it."""
