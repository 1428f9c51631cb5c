"""Parts of the circuit beyond its values: amplifiers, wires, and the law of all its states."""
