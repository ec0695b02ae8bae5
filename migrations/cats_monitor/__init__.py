"""Cat Activities Monitor: what cameras saw cats do, whose cat it was, and what people corrected."""
