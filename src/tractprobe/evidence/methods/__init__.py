"""What analyses compute with: closed forms on moments, nulls, maps, erasers, and how each is put into tables."""
