"""What a site could have done had it known: the yardstick of a replay.

`hindsight` puts what really happened in place of what was expected; `perfect_foresight` plans it in one go. The
money between that and what the site paid is what better forecasts could earn at most; the rules stay the same.
"""

from collections.abc import Sequence
from dataclasses import replace

from optimizer.domain import Problem, Schedule, Series, Session
from optimizer.errors import InvalidProblemError
from optimizer.optimise import optimise


def hindsight(
    problem: Problem,
    *,
    base_load_kw: Series,
    pv_kw: Series,
    sessions: Sequence[Session],
    import_price_per_kwh: Series | None = None,
    export_price_per_kwh: Series | None = None,
) -> Problem:
    """`problem` as it turned out: measured base load and PV (kW per slot), real stays and needs, final prices.

    What is known for certain has no quantiles. `problem` is the one from the start of the replay: raises
    `InvalidProblemError` when its `now` lies later, for what was chosen before can no longer be chosen.
    """
    horizon = problem.horizon
    if horizon.first_moment != horizon.start:
        raise InvalidProblemError("now", f"{horizon.first_moment.isoformat()} is not the start of the horizon")
    return replace(
        problem,
        base_load_kw=base_load_kw,
        base_load_high_kw=base_load_kw,
        base_load_low_kw=base_load_kw,
        pv_kw=pv_kw,
        pv_low_kw=pv_kw,
        pv_high_kw=pv_kw,
        sessions=tuple(sessions),
        import_price_per_kwh=import_price_per_kwh or problem.import_price_per_kwh,
        export_price_per_kwh=export_price_per_kwh or problem.export_price_per_kwh,
    )


def perfect_foresight(happened: Problem, *, solver: str = "highs") -> Schedule:
    """The best schedule for a problem that `hindsight` made; its unmet energy is what nobody could have met.

    `baseline.summary` compares it with the other policies. A status ``fallback`` is no yardstick: see its reason.
    """
    return optimise(happened, solver=solver, baselines=False)
