"""Claims as data, and the tests that decide them."""
