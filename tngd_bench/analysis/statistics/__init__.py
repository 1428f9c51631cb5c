"""Statistical methods: paired tests, resampling, scaling fits, run-to-run spread."""
