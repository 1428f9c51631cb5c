"""Study files: read, merged from layers, checked."""
