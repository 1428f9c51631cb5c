"""The results of a study on disk, read, merged and exported."""
