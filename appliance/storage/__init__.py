"""Keep facts and images: one writing process, any number of readers."""
