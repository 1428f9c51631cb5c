"""Maps of which optimizer is cheapest."""
