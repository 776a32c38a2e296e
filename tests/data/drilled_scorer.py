"""A scorer for the drill: right, wrong, and now and then an error."""


def score(response, row):
    if len(response) % 17 == 3:
        raise ValueError(f"no score for {row['answer']}")
    return float((len(response) + row["id"]) % 2)
