"""Heads as a product: audio in, movements out."""
