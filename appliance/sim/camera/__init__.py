"""The simulated camera: a GenTL producer in C, opened like any vendor's."""
