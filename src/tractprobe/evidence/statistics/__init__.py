"""From scores of speakers to effects: intervals, tests, shares, and findings made of them."""
