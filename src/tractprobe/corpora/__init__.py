"""Raw corpora in, prepared corpora out, and an audit of whether these look like human speech movements."""
