"""Run a bundle over labelled images and say how good it is."""
