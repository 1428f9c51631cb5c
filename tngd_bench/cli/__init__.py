"""The command line: one thin file per verb, each imported when its verb is used."""
