"""Everything that `optimizer` raises.

* OptimizerError
    * InvalidProblemError: the input contradicts itself; the text names the field and the value
    * SolverError: a solver is missing, refused the model, or returned what is no solution
"""


class OptimizerError(Exception):
    """Root of this package's errors."""


class InvalidProblemError(OptimizerError, ValueError):
    """The problem as stated cannot exist. `field` is its path, e.g. ``sessions[tx-1].departure``."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field} {message}")

    def __reduce__(self) -> tuple[type["InvalidProblemError"], tuple[str, str]]:
        return type(self), (self.field, self.message)


class SolverError(OptimizerError):
    """The solver gave no usable answer. The caller falls back to equal share and says why."""
