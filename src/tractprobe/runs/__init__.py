"""What every run is: its settings, name and record."""
