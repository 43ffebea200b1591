"""What every run is, whatever it fits: settings, identity, record, status, tracking, trainer."""
