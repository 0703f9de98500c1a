"""What docs/model.md says, line by line, and the tests that fail when it is broken: keys, answers, reasons, fallback.

A phrase of the document stands for its line, or for one sentence of a longer one. Rules and mathematics have files of
their own.
"""

from dataclasses import dataclass

from tests.optimizer.model_mathematics import MATHEMATICS
from tests.optimizer.model_rules import RULES


@dataclass(frozen=True)
class Line:
    """`says` is a phrase of the line; `tests` are named below tests/, each of which fails when it is broken."""

    says: str
    tests: tuple[str, ...]


def read(table: str) -> tuple[Line, ...]:
    """Lines parted by blank lines: the phrase, and below it the tests, in tests/optimizer where no folder is named."""
    found = []
    for entry in table.strip().split("\n\n"):
        says, *tests = entry.split("\n")
        named = (test.strip() for test in tests)
        found.append(Line(says, tuple(test if "/" in test else f"optimizer/{test}" for test in named)))
    return tuple(found)


ANSWERS = """
which rules hold between the two
test_mutants.py::test_at_least_95_percent_of_the_mutants_are_caught_and_every_rule_is_needed
app/test_problem_json.py::test_every_key_is_described_in_openapi

a moment without one is refused
app/test_problem_json.py::test_moments_are_read_with_any_offset_and_kept_in_utc
app/test_problem_json.py::test_names_the_path_and_the_value_of_what_is_wrong

A slot is half-open, `[start, end)`
test_program.py::test_a_stay_from_slot_edge_to_slot_edge_has_whole_slots

Power to a vehicle or a battery is positive, from it negative
test_solve.py::test_a_battery_buys_cheap_and_covers_the_dear_hour
test_vehicles.py::test_takes_when_it_is_cheap_and_gives_when_it_is_dear

are both at least 0, and never both above 0
test_check.py::test_names_the_rule_the_place_and_the_slot
test_solve.py::test_does_not_import_and_export_at_once_where_export_pays_more

`current_a` is per phase in use; null for DC
test_solve.py::test_a_dc_evse_has_powers_and_no_currents
test_solve.py::test_a_two_phase_vehicle_loads_the_phases_that_its_evse_is_rotated_to

is what it holds at each slot's end
test_check.py::test_names_the_rule_the_place_and_the_slot
test_laws.py::test_batteries_keep_their_capacity_their_powers_and_what_they_hold

`cost.ev` is with minus without EVs
test_optimise.py::test_a_site_without_any_session_has_an_answer
test_cases.py::test_case

Required keys have no default
test_model_lines.py::test_a_required_key_that_is_missing_is_named

A series is one number for every slot
app/test_problem_json.py::test_a_number_in_place_of_a_series_stands_for_every_slot
app/test_problem_json.py::test_a_number_as_the_plan_in_force_stands_for_every_slot_too

A limit that is left out does not exist
app/test_problem_json.py::test_what_is_left_out_is_unlimited_unknown_or_the_default

Null is refused wherever the table does not name it
app/test_problem_json.py::test_null_is_accepted_where_it_means_something
app/test_problem_json.py::test_names_the_path_and_the_value_of_what_is_wrong

text for a number and unknown keys are refused, each with its path
app/test_problem_json.py::test_names_the_path_and_the_value_of_what_is_wrong
app/test_bad_problems.py::test_the_api_names_field_and_value

`optimal`; `feasible`: see `gap`; `fallback`: see `reason`
test_optimise.py::test_charges_in_the_cheapest_slot_and_says_what_it_saves
test_answer.py::test_the_gap_is_what_whole_steps_cost_in_shares_of_the_vehicles_money
test_optimise.py::test_falls_back_to_equal_share_when_the_solver_gives_up

(cost − bound at equal unmet energy) / gross EV money
test_answer.py::test_the_gap_is_what_whole_steps_cost_in_shares_of_the_vehicles_money

why it is no optimum
test_optimise.py::test_falls_back_when_the_answer_breaks_a_rule_and_names_it

`cost.energy, demand, carbon, wear, total, ev`
test_check.py::test_names_the_rule_the_place_and_the_slot
test_laws.py::test_the_cost_is_that_of_the_flows_and_never_below_the_bound

the limit while a vehicle is present
test_solve.py::test_a_slot_counts_as_long_as_the_vehicle_is_there

what beliefs are expected to miss, at `unmet_price_per_kwh`
test_check_vehicles.py::test_names_the_rule_the_place_and_the_slot
test_beliefs.py::test_waits_for_the_cheap_hour_where_the_risk_is_worth_it_and_says_what_is_expected_to_be_missing

a note names an unavoidable remainder
test_solve.py::test_a_need_below_the_minimum_current_is_left_and_named

missing of the floor at `floor_by`
test_beliefs.py::test_a_floor_that_is_out_of_reach_is_reported_and_the_rest_is_planned
test_laws.py::test_what_a_floor_or_a_belief_misses_is_what_its_moments_lack

Σ probability · missing, over the scenarios of a belief
test_laws.py::test_what_a_floor_or_a_belief_misses_is_what_its_moments_lack

of what is owed; null where nothing is
test_check_vehicles.py::test_names_the_rule_the_place_and_the_slot
test_solve.py::test_what_is_not_enough_is_shared_so_that_the_smallest_share_is_largest

unmet in total beyond the least, so that nobody goes without alone
test_beliefs.py::test_says_what_fairness_costs

`batteries.<id>.power_kw`, `.energy_kwh`
app/test_problem_json.py::test_writes_the_schedule_under_the_names_of_version_1

in slots that are over, as expected without vehicles
test_answer.py::test_a_slot_that_is_over_shows_what_was_expected_without_vehicles

of each demand charge, the peak so far included
test_check.py::test_a_running_interval_brings_along_what_it_has_imported
test_check.py::test_names_the_rule_the_place_and_the_slot
test_solve.py::test_only_what_exceeds_the_known_peak_costs

`cost`, `unmet_kwh`, `peak_kw` (highest slot)
test_baseline.py::test_summary_says_what_the_policy_costs

`rule`, `where`, `slot`, `phase`, `excess`, `unit`, `unavoidable`
app/test_problem_json.py::test_writes_violations_with_their_place

what was assumed; the file of a problem that used up its time limit
test_solve.py::test_a_missing_high_base_load_is_replaced_and_named
app/planning/test_solving.py::test_a_problem_that_uses_up_its_time_limit_is_kept_and_the_warning_names_the_file

`timing_ms`
test_optimise.py::test_charges_in_the_cheapest_slot_and_says_what_it_saves

on request; see [Reasons](#reasons)
app/api/test_optimize.py::test_without_being_asked_there_are_no_reasons

Left out: the first two. Other names are refused.
test_optimise.py::test_charges_in_the_cheapest_slot_and_says_what_it_saves
app/planning/test_solving.py::test_a_baseline_that_nobody_knows_is_refused_by_name
app/api/test_optimize.py::test_baselines_are_those_that_were_asked_for

full power on arrival | ignored, and what they break is listed
test_baseline.py::test_uncontrolled_charges_at_full_power_until_the_vehicle_is_full
test_baseline.py::test_uncontrolled_ignores_a_fuse_and_says_what_it_breaks

the same current for all | kept | do nothing
test_baseline.py::test_equal_share_gives_everybody_the_same_current
test_baseline.py::test_equal_share_breaks_no_rule_on_any_site
test_baseline.py::test_batteries_do_nothing

who leaves first goes first
test_baseline.py::test_earliest_deadline_first_serves_who_leaves_first
test_baseline.py::test_turns_break_no_rule_on_any_site

who has least time to spare goes first
test_baseline.py::test_least_laxity_first_serves_who_can_wait_least

the best plan, had it been certain that base load and PV come as expected
app/planning/test_solving.py::test_perfect_foresight_serves_what_a_plan_that_keeps_room_for_doubt_cannot
app/planning/test_solving.py::test_without_any_doubt_perfect_foresight_is_the_plan_itself

beside beliefs and probabilities below 1 it is refused
app/planning/test_solving.py::test_who_may_or_may_not_come_leaves_no_perfect_foresight
app/api/test_optimize.py::test_foresight_of_who_may_not_come_is_refused

The command prints words; with `--json` the whole answer
app/cli/test_plan.py::test_reasons_are_words
app/cli/test_plan.py::test_reasons_are_json_where_that_is_asked_for

every slot in which somebody is there
app/planning/test_explained.py::test_each_evse_and_slot_has_its_binding_rules_by_name_with_shadow_prices

of the site's next kWh, demand charge and import limit included
test_explain.py::test_a_demand_charge_spreads_its_price_over_the_hours_that_make_the_peak
test_explain.py::test_an_import_limit_is_part_of_the_price_of_energy

with what this EVSE displaces under the rules of `binding`
test_explain.py::test_a_fuse_costs_the_difference_to_the_slot_that_it_drives_to

it charges where `price_per_kwh` is below
test_explain.py::test_the_cheapest_plan_charges_where_the_price_is_below_the_worth

who else would have the room
test_explain.py::test_complementary_slackness_a_price_only_where_a_limit_holds

where the energy of a slot that charges would go
app/planning/test_explained.py::test_each_slot_that_charges_names_the_slot_that_is_next_best

the same as a sentence
test_explain.py::test_says_in_words_why_it_charges_or_does_not

`sessions.<id>.marginal_price_per_kwh`
test_explain.py::test_the_price_of_the_next_kwh_is_that_of_the_dearest_slot_in_use

the cheapest slot it leaves free
test_explain.py::test_the_next_best_slot_is_the_cheapest_that_is_not_used
test_explain.py::test_a_full_circuit_is_not_the_next_best_slot

limits of the whole site that cost money
app/planning/test_explained.py::test_of_many_binding_limits_the_dearest_are_shown

wishes that were not met, the largest first
app/planning/test_explained.py::test_a_wish_that_is_not_met_comes_with_the_cheapest_remedy_that_was_verified

`unmet[].cheapest`, more in `others`
app/planning/test_explained.py::test_a_wish_that_is_not_met_comes_with_the_cheapest_remedy_that_was_verified

false: many go short, and nothing was sought for this one
app/planning/test_explained.py::test_beyond_the_wishes_that_are_looked_into_it_is_said_that_nothing_was_sought

how many are not shown
app/planning/test_explained.py::test_a_large_site_answers_with_those_who_go_short_first_and_counts_the_rest

divided by the slot's hours, so that they are prices of a kWh
test_explain.py::test_a_half_hour_costs_what_an_hour_costs

Each was put into the problem and solved
test_explain.py::test_every_repair_meets_its_wish_when_it_is_solved_again
test_explain.py::test_half_an_hour_later_is_what_half_an_hour_of_energy_takes
test_explain.py::test_names_the_circuit_that_needs_more_power_and_how_much

Without it at most 4,000 slots are explained
app/planning/test_explained.py::test_the_documentation_knows_every_key_and_bound
app/planning/test_explained.py::test_on_a_very_large_site_remedies_are_sought_for_those_who_are_named
app/planning/test_explained.py::test_a_schedule_without_reasons_is_still_a_schedule_and_says_why

each segment is at the lowest power that the plan has in it
test_compress.py::test_never_more_periods_than_asked_and_every_rule_is_kept
test_compress.py::test_without_a_solver_every_segment_is_at_its_lowest_planned_power

What is lost against the plan, in kWh and in money
test_compress.py::test_with_as_many_periods_as_the_plan_has_nothing_is_lost
test_compress.py::test_no_compression_undercuts_the_bound_of_the_program_over_slots
app/planning/test_few_periods.py::test_what_is_lost_is_kept_with_the_plan_and_said_where_it_is_much

the common current of all who still need energy rises
test_baseline.py::test_equal_share_gives_everybody_the_same_current
test_baseline.py::test_who_had_less_goes_first_where_the_minimum_does_not_fit_for_all
test_optimise.py::test_falls_back_when_the_solver_has_no_time

The status is `fallback`, and the reason says what happened
test_optimise.py::test_falls_back_to_equal_share_when_the_solver_gives_up
test_optimise.py::test_falls_back_when_something_breaks_that_nobody_thought_of
test_optimise.py::test_falls_back_when_the_answer_breaks_a_rule_and_names_it

Where even equal share were refused, nobody charges
test_fallback.py::test_where_even_equal_share_is_refused_nobody_charges

Each holds the newest 20, readable by the owner
test_model_lines.py::test_the_document_knows_the_numbers_of_the_code
app/planning/test_timed_out.py::test_the_newest_are_kept_and_what_others_wrote_stays
app/planning/test_timed_out.py::test_only_the_owner_may_read_it
app/planning/test_timed_out.py::test_what_was_asked_in_passing_never_pushes_out_what_a_site_met

solves it again
app/cli/test_plan.py::test_a_problem_from_standard_input_that_took_too_long_is_kept_and_solved_again
"""

LINES = read(ANSWERS) + read(RULES) + read(MATHEMATICS)
