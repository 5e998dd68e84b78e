"""Select: original and candidate captions on one scorer, the best kept."""
