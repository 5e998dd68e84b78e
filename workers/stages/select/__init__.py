"""Select: scores the original and the candidates on one scorer and keeps the best."""
