"""The prepared corpus: how it is made, stored and read."""
