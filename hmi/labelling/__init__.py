"""Follow one person labelling: taps, drawing, twins, times; no Qt."""
