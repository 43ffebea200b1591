"""Raw corpora in, prepared corpora out, and whether they look like human speech movements."""
