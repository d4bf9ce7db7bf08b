"""The touchscreen: what operators see and touch."""
