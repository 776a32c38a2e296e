"""pass@k and its interval: arithmetic over counts, no files, no texts."""

from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

HELD_DRAWS = 1 << 21  # drawn at once
MAX_DISTINCT = 20_000


def pass_at_k(n: "np.ndarray", c: "np.ndarray", k: int) -> "np.ndarray":
    """Estimate, for each row, the chance that one of k samples passes.

    `n` samples a row, `c` of them passed; NaN where k > n. Unbiased: 1 - C(n-c, k) / C(n, k), as
    the product of 1 - k/i over i in n-c+1..n, so that nothing overflows
    (Chen et al. 2021, arXiv 2107.03374, section 2.1).
    """
    import numpy as np

    n, c = np.asarray(n, dtype=np.int64), np.asarray(c, dtype=np.int64)
    pairs, place = np.unique(np.stack([n, c]), axis=1, return_inverse=True)
    values = [_one(int(a), int(b), k) for a, b in pairs.T]
    return np.array(values, dtype=np.float64)[place.reshape(-1)]


def _one(n: int, c: int, k: int) -> float:
    import numpy as np

    if k > n:
        return float("nan")
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def interval(
    values: "np.ndarray", confidence: float, resamples: int, seed: int
) -> tuple[float, float] | None:
    """Give the percentile bootstrap interval of the mean, prompts being resampled; no NaN in.

    None without resamples, or with fewer than two values. What is drawn is how often each distinct
    value comes (a multinomial), the same bootstrap in less memory. Over 20,000 distinct values the
    mean of a resample is normal for every practical purpose, and the normal interval is given. Has
    no width where all values are equal.
    """
    import numpy as np

    if not resamples or len(values) < 2:
        return None
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) > MAX_DISTINCT:
        half = NormalDist().inv_cdf((1 + confidence) / 2) * values.std() / np.sqrt(len(values))
        return float(values.mean() - half), float(values.mean() + half)
    draw = np.random.default_rng(seed)
    at_once = max(1, HELD_DRAWS // len(distinct))
    means = [
        draw.multinomial(len(values), counts / len(values), size=min(at_once, resamples - done))
        @ distinct
        / len(values)
        for done in range(0, resamples, at_once)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
