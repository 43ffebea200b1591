"""What a transcript carries, as frame-wise features (filled in below)."""
