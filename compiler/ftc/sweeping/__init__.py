"""`ftc sweep`: variants of a recipe, picked, planned, built through the one cache, and compared."""
