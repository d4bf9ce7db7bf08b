"""Read labelled images as users already have them, say what is wrong with them, and keep parts together."""
