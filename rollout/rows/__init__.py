"""One row on its way: prompt, request, samples, result, what it is owed, its signs. Pure."""
