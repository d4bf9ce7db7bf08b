"""Make bundles of models that were trained elsewhere, once they prove to say the same here."""
