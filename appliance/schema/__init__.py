"""Name the nouns that every process speaks: frozen structs, and nothing that acts."""
