"""What a phone becomes among its neighbours: short rules, each of which changes a list of sounds in place."""
