"""Name the plug-in points, one Protocol a file; implementations are chosen by name in the configuration."""
