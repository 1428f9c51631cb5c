"""One trial: its cost (time, operations, memory) or its training curve; clocks, seeds and the environment."""
