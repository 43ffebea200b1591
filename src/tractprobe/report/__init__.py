"""The page of the evidence: claims by rule, a section for each analysis, and all that it takes to distrust them."""
