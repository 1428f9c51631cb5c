"""Speed of tngd-bench itself, from revision to revision, measured by asv (`make asv`)."""
