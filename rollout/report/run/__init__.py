"""The page of a run, from its directory, at any time: `page_of`."""
