"""From scores to claims: tables, comparisons, figures."""
