"""The parts of a report: sections, tables, charts, palette."""
