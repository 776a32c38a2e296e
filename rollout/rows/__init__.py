"""One row on its way: prompt, request, sample, result, what it is owed. Pure."""
