"""Keep what people said until record holds it."""
