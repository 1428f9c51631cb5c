"""Physics-informed networks: problems whose outputs are the residuals of a differential equation."""
