"""Judge models: pure numbers over truths and predictions, each rate with its count and exact interval."""
