"""From a study to its trials, with predicted time and memory."""
