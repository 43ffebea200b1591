"""Heads as a product: head files, and audio in, movements out."""
