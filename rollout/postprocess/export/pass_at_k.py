"""The unbiased estimator of pass@k. Must not know about files or texts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def pass_at_k(n: "np.ndarray", c: "np.ndarray", k: int) -> "np.ndarray":
    """Return each row's estimate of the chance that one of k samples passes; NaN if k > n.

    Each row has `n` samples, of which `c` passed. The estimate is 1 - C(n-c, k) / C(n, k), computed
    as the product of 1 - k/i over i in n-c+1..n, which can't overflow (Chen et al. 2021,
    arXiv 2107.03374, section 2.1).
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
