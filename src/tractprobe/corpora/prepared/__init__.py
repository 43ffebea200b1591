"""The prepared corpus: how it is made, what it is on disk, how it is read."""
