"""The mathematics of docs/model.md, line by line; `model_lines` says how they are read."""

MATHEMATICS = """
The names are those of the code
test_live.py::test_every_column_and_row_has_a_label_of_its_own

of an EVSE in a slot in which somebody is there
test_program.py::test_a_session_has_a_column_in_every_slot_of_its_stay_and_nowhere_else
test_program.py::test_the_largest_current_is_not_lost_to_floating_point

the same, the other way; only with `v2g`
test_vehicles.py::test_takes_when_it_is_cheap_and_gives_when_it_is_dear

of each session, from 0 to what it is owed
test_laws.py::test_nobody_gets_more_than_a_step_beyond_the_need_and_what_is_missing_is_reported

of each milestone m (floor or scenario)
test_laws.py::test_what_a_floor_or_a_belief_misses_is_what_its_moments_lack
test_beliefs.py::test_a_belief_that_gave_energy_back_is_still_owed_nothing

net energy of a followed vehicle (taper, V2G)
test_laws.py::test_a_vehicle_takes_and_gives_what_its_battery_can

mean of the slot, at the meter
test_laws.py::test_what_flows_in_flows_out

stored at the slot's end, within its bounds
test_laws.py::test_batteries_keep_their_capacity_their_powers_and_what_they_hold
test_solve.py::test_a_battery_goal_out_of_reach_is_named_and_approached

of each demand charge, at least the peak that is free
test_solve.py::test_only_what_exceeds_the_known_peak_costs

smallest part of need that is met, while a class is divided
test_service.py::test_everybody_of_a_class_gets_the_same_share_at_least

directions, in the mixed-integer program alone
test_solve.py::test_a_battery_does_not_burn_energy_in_a_circle_where_that_would_pay
test_vehicles.py::test_does_not_burn_energy_in_circles_where_import_is_paid

f is the share of a slot in which the vehicle is there, times its probability
test_laws.py::test_the_meter_sees_an_expected_vehicle_by_its_probability

`power_balance` | slot
test_optimise.py::test_no_answer_breaks_a_rule_that_the_checker_knows
test_laws.py::test_what_flows_in_flows_out

`energy_by_departure` | session
test_rows.py::test_what_is_given_costs_a_need_the_losses_of_both_ways
test_optimise.py::test_no_answer_breaks_a_rule_that_the_checker_knows
test_vehicles.py::test_a_vehicle_that_has_given_leaves_with_what_was_promised
test_vehicles.py::test_no_plan_of_all_that_there_are_undercuts_the_bound
test_laws.py::test_nobody_gets_more_than_a_step_beyond_the_need_and_what_is_missing_is_reported

`energy_by_moment` | milestone
test_beliefs.py::test_a_floor_that_is_out_of_reach_is_reported_and_the_rest_is_planned
test_beliefs.py::test_a_floor_counts_only_what_comes_before_its_moment_within_a_slot

`vehicle_energy` | followed vehicle, slot
test_optimise.py::test_no_answer_breaks_a_rule_that_the_checker_knows
test_laws.py::test_a_vehicle_takes_and_gives_what_its_battery_can

`taper` | tapering vehicle, slot
test_optimise.py::test_no_answer_breaks_a_rule_that_the_checker_knows
test_vehicles.py::test_a_vehicle_that_is_nearly_full_takes_less_and_less

`circuit_power` | fuse, slot
test_optimise.py::test_no_answer_breaks_a_rule_that_the_checker_knows
test_baseline.py::test_program_and_checker_agree_on_what_is_overloaded
test_cases.py::test_case[104]

`circuit_current` | fuse, phase, slot
test_optimise.py::test_no_answer_breaks_a_rule_that_the_checker_knows
test_laws.py::test_no_fuse_carries_more_than_its_rating_and_no_vehicle_adds_to_an_overload
test_cases.py::test_case[105]

`circuit_feed` | fuse, slot
test_laws.py::test_no_export_beyond_the_limit_that_curtailing_and_resting_would_avoid

`battery_energy` | battery, slot
test_optimise.py::test_no_answer_breaks_a_rule_that_the_checker_knows
test_laws.py::test_batteries_keep_their_capacity_their_powers_and_what_they_hold

`demand_peak` | demand charge, interval
test_rows.py::test_an_interval_that_is_running_brings_its_energy_along
test_cases.py::test_case[038]
test_program.py::test_a_slot_across_an_interval_boundary_counts_on_both_sides
test_solve.py::test_the_running_interval_counts_what_it_has_already_imported

Σ w, Σ u: free until the least is proven
test_service.py::test_a_later_class_shares_what_the_earlier_one_leaves
test_beliefs.py::test_floors_come_before_the_rest_of_a_need_in_the_same_class

the money: free until a preference is asked for
test_preference.py::test_beginning_with_preference_does_not_move_the_cheapest_cost

Rows that no choice of the columns can break are left out
test_program.py::test_rows_that_no_choice_can_break_are_left_out

A service class is a priority, plugged in before expected
test_program.py::test_sessions_are_served_by_priority_and_plugged_in_before_expected
test_solve.py::test_who_is_plugged_in_goes_before_who_is_expected

class by class the least floors missed, then the largest smallest share of need
test_service.py::test_everybody_of_a_class_gets_the_same_share_at_least
test_solve.py::test_a_higher_priority_is_served_before_a_lower_one_gets_anything

the rest goes without the least total, not by priority and share, and a warning says so
test_service.py::test_whenever_time_runs_out_the_rest_goes_without_the_least_total
test_service.py::test_without_time_for_one_solve_there_is_none
test_answer.py::test_a_plan_whose_division_ran_out_of_time_says_so

min Σ h (i · (price + carbon) − e · export price)
test_solve.py::test_no_choice_of_currents_is_better
test_laws.py::test_the_cost_is_that_of_the_flows_and_never_below_the_bound
test_solve.py::test_carbon_has_its_price

Where a circular flow would pay
test_solve.py::test_a_battery_does_not_burn_energy_in_a_circle_where_that_would_pay
test_solve.py::test_does_not_import_and_export_at_once_where_export_pays_more

powers between 0 and the minimum are decided and the program solved again
test_repair.py::test_a_site_is_served_within_half_a_percent_of_the_bound
test_dive.py::test_only_vehicles_below_the_minimum_and_their_rivals_move
test_repair.py::test_whoever_is_served_first_keeps_the_room_that_rounding_takes

as two mixed-integer programs
test_model_lines.py::test_the_document_knows_the_numbers_of_the_code
test_polish.py::test_a_small_site_whose_peak_suffers_from_rounding_ends_within_three_tenths_of_a_percent
test_polish.py::test_polished_powers_are_whole_steps_within_the_same_limits_and_the_same_every_time
test_polish.py::test_only_small_sites_are_polished
test_polish.py::test_a_search_that_runs_out_of_time_gives_nothing_rather_than_what_a_faster_machine_would_not_give

A site's re-plans go without: they come again soon
test_polish.py::test_without_polish_a_plan_comes_without_a_search

two small weights in one objective do not break ties reliably
test_preference.py::test_what_is_taken_for_preferred_without_a_second_solve_is

*Earlier rather than later*, among equal prices
test_solve.py::test_charges_early_when_all_prices_are_equal

(hours from now to the middle of the slot)
test_preference.py::test_preference_costs_no_more_than_its_budget_and_leaves_nobody_with_less

so each charges in one block
test_preference.py::test_of_two_behind_one_fuse_each_charges_in_one_block
test_preference.py::test_beginning_with_preference_does_not_move_the_cheapest_cost

where one is given, comes first, and may cost the budget
test_preference.py::test_planning_again_with_the_same_inputs_changes_next_to_nothing

money ≤ c* + max(`preference_budget` · G, 0.01)
test_preference.py::test_without_a_budget_the_plan_in_force_decides_among_equal_prices_alone
test_cases.py::test_case[093]
test_cases.py::test_case[094]
test_cases.py::test_case[101]

the cheapest is found
test_preference.py::test_a_power_between_its_bounds_is_kept_as_well
test_preference.py::test_a_plan_in_force_that_has_become_dear_is_given_up
test_preference.py::test_more_need_goes_on_top_of_the_plan_in_force
test_preference.py::test_the_slots_before_now_of_a_plan_in_force_do_not_count

is last, after rounding
test_preference.py::test_a_battery_spreads_what_it_takes_at_one_price
test_preference.py::test_smoothness_costs_nothing

the money here includes `cost.unmet`
test_answer.py::test_the_gap_is_what_whole_steps_cost_in_shares_of_the_vehicles_money
test_vehicles.py::test_no_plan_of_all_that_there_are_undercuts_the_bound
"""
