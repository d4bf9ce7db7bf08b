"""Make the parts that the simulated plant shows its cameras: rendered ones with known truth, or real photographs."""
