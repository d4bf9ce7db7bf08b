"""Run compiled models behind one port; only the chosen runtime is imported."""
