"""One row from prompt to result: its requests, samples, owed samples and signs. Pure."""
