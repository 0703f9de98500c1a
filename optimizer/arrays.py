"""The three kinds of arrays that this package speaks, and the one sum that replaces its loops."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def sum_by(index: Ints, values: Floats, size: int) -> Floats:
    """Entry i is the sum of all `values` whose `index` is i, for 0 ≤ i < `size`."""
    return np.asarray(np.bincount(index, values, minlength=size), dtype=np.float64)
