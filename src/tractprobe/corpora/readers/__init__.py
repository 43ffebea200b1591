"""One module for each corpus: a raw folder in, utterances out."""
