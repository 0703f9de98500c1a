"""The rules of docs/model.md, line by line; `model_lines` says how they are read."""

RULES = """
A vehicle may draw while arrival ≤ time < departure, and not before `now`
test_check.py::test_names_the_rule_the_place_and_the_slot
test_check.py::test_nothing_may_flow_in_slots_that_are_over
test_solve.py::test_nothing_is_planned_before_now_and_the_running_slot_counts_what_is_left_of_it

a slot in which it is there for a part carries the full limit at every fuse
test_solve.py::test_a_slot_counts_as_long_as_the_vehicle_is_there
test_laws.py::test_no_fuse_carries_more_than_its_rating_and_no_vehicle_adds_to_an_overload

Presence below 4 ms is none
test_answer.py::test_who_is_there_for_less_than_4_ms_is_not_there
test_tolerances.py::test_who_is_there_for_less_than_4_ms_may_draw_nothing

then the limit has to suit both
test_program.py::test_two_stays_in_one_slot_share_one_column_with_the_limits_of_both
test_solve.py::test_two_sessions_that_share_a_slot_share_its_limit

Stays that overlap are refused
test_solve.py::test_two_sessions_at_one_evse_at_once_are_refused_by_name

A session with `scenarios` promises nothing
test_beliefs.py::test_a_belief_is_no_promise
test_beliefs.py::test_takes_no_more_than_what_pays_in_the_mean_of_the_scenarios

A promise is never broken for a belief
test_beliefs.py::test_a_promise_is_kept_before_any_belief_at_any_price

`floor_energy_kwh` of a need are owed by `floor_by`
test_beliefs.py::test_a_floor_is_there_by_its_time_although_it_is_dear_then
test_beliefs.py::test_floors_come_before_the_rest_of_a_need_in_the_same_class
test_beliefs.py::test_a_floor_of_a_later_priority_comes_after_the_needs_of_the_first

With `probability` below 1 the balance, the money and the billed peak
test_beliefs.py::test_an_expected_vehicle_weighs_by_its_probability_in_money_and_fully_under_the_fuse
test_laws.py::test_the_meter_sees_an_expected_vehicle_by_its_probability

AC current is 0 or at least the minimum, on the grid of steps
test_laws.py::test_every_current_is_zero_or_on_the_grid_between_minimum_and_maximum
test_solve.py::test_the_minimum_current_is_kept
test_solve.py::test_currents_are_on_the_grid_of_the_charger
test_check.py::test_names_the_rule_the_place_and_the_slot

DC has neither a minimum current nor steps, but watts
test_baseline.py::test_a_dc_vehicle_has_neither_steps_of_current_nor_a_minimum
test_solve.py::test_a_dc_evse_has_powers_and_no_currents

a `target_soc` asks for (target − soc) · capacity / η
test_vehicles.py::test_a_target_soc_stands_in_for_the_energy
test_vehicles.py::test_losses_lie_between_the_meter_and_the_vehicles_battery
test_vehicles.py::test_a_need_that_does_not_fit_into_the_vehicle_is_refused
test_vehicles.py::test_a_vehicle_that_has_given_leaves_with_what_was_promised

From `from_soc` on the vehicle takes less
test_vehicles.py::test_a_vehicle_that_is_nearly_full_takes_less_and_less
test_vehicles.py::test_a_taper_does_not_bind_below_its_state_of_charge
test_check_vehicles.py::test_names_the_rule_the_place_and_the_slot

one that starts below the floor gives nothing
test_vehicles.py::test_a_vehicle_never_gives_below_its_floor
test_vehicles.py::test_a_vehicle_below_its_floor_gives_nothing

needs are net, `planned_energy_kwh` = taken − given / η²
test_vehicles.py::test_a_vehicle_that_has_given_leaves_with_what_was_promised
test_laws.py::test_a_vehicle_takes_and_gives_what_its_battery_can

called `shared_power[group]`
test_stations.py::test_two_connectors_of_one_station_share_its_supply
test_stations.py::test_what_one_connector_may_draw_unplanned_is_missing_to_the_other
test_check_vehicles.py::test_a_supply_that_is_shared_is_broken_by_some_case

every fuse above it counts that current on every wired phase
test_stations.py::test_a_limit_that_is_not_verified_is_counted_whole_in_the_first_slot
test_stations.py::test_an_evse_that_is_not_verified_is_not_raised_above_what_is_in_force

A vehicle loads the first phases of its EVSE
test_solve.py::test_a_two_phase_vehicle_loads_the_phases_that_its_evse_is_rotated_to
test_solve.py::test_a_single_phase_vehicle_loads_its_phase_alone

An unknown vehicle loads every wired phase at full current for safety
test_solve.py::test_an_unknown_vehicle_counts_on_every_wired_phase_for_safety_and_on_one_for_energy
test_check.py::test_an_unknown_vehicle_loads_every_wired_phase_and_is_counted_with_one

DC, batteries and PV are even on three phases
test_program.py::test_a_dc_evse_draws_evenly_from_its_phases
test_check.py::test_names_the_rule_the_place_and_the_slot

high base load (at the connection, by phase shares)
test_solve.py::test_safety_counts_the_high_base_load_and_no_pv
test_program.py::test_a_circuit_carries_the_base_load_and_reservations_of_all_below
test_solve.py::test_a_reservation_is_never_planned_away
test_check.py::test_every_limit_of_fuses_and_connection_is_broken_by_some_case

PV counts 0, and batteries are no help
test_solve.py::test_safety_counts_the_high_base_load_and_no_pv
test_cases.py::test_case[020]
test_cases.py::test_case[057]
test_cases.py::test_case[116]

What a vehicle gives is no help either
test_vehicles.py::test_what_a_vehicle_gives_does_not_help_a_fuse
test_cases.py::test_case[082]

batteries that discharge and vehicles that give, within the ratings of every circuit
test_vehicles.py::test_vehicles_export_no_more_than_the_connection_and_their_circuit_allow
test_check.py::test_names_the_rule_the_place_and_the_slot

high PV less curtailment, less low base load
test_laws.py::test_no_export_beyond_the_limit_that_curtailing_and_resting_would_avoid
test_cases.py::test_case[114]
test_cases.py::test_case[115]

A vehicle that gives on fewer than three phases counts as three times its share
test_check_vehicles.py::test_names_the_rule_the_place_and_the_slot

at most one step of one slot above what the session may take
test_laws.py::test_nobody_gets_more_than_a_step_beyond_the_need_and_what_is_missing_is_reported
test_laws.py::test_nobody_gets_more_than_a_step_beyond_what_it_may_take

by its end, what full power cannot still bring afterwards
test_solve.py::test_a_session_that_leaves_later_owes_only_what_it_cannot_get_after_the_end
test_check.py::test_a_session_that_stays_longer_owes_only_what_full_power_cannot_bring_afterwards

Energy follows from power, losses and the slot's remaining hours
test_check.py::test_names_the_rule_the_place_and_the_slot
test_laws.py::test_batteries_keep_their_capacity_their_powers_and_what_they_hold
test_cases.py::test_case[060]
test_cases.py::test_case[112]

Import − export = base load + vehicles + batteries − PV + curtailment
test_laws.py::test_what_flows_in_flows_out
test_check.py::test_names_the_rule_the_place_and_the_slot

Only PV is curtailed, and only where `pv_curtailable` says so
test_solve.py::test_curtails_what_may_not_be_exported
test_check.py::test_names_the_rule_the_place_and_the_slot

an hour that a clock change repeats is two intervals
test_check.py::test_demand_intervals_follow_the_local_clock
test_check.py::test_the_hour_that_a_clock_change_repeats_is_two_intervals
test_program.py::test_the_hour_that_a_clock_change_repeats_is_metered_twice

Only what exceeds max(`peak_so_far_kw`, `expected_peak_kw`, `ratchet_kw`) costs
test_solve.py::test_only_what_exceeds_the_known_peak_costs
test_stations.py::test_what_a_ratchet_bills_anyway_is_free

Only caused violations keep a schedule from being sent
test_check.py::test_a_violation_that_is_there_without_vehicles_is_unavoidable_and_what_exceeds_it_is_caused
test_optimise.py::test_what_is_broken_without_vehicles_does_not_lead_to_a_fallback
test_baseline.py::test_without_charging_every_violation_is_unavoidable

they lower half of it before a slot's start and raise half of it after
app/csms/test_profiles.py::test_lowers_ahead_of_the_boundary_and_raises_behind_it
app/csms/test_profiles.py::test_a_peak_shorter_than_the_clocks_may_differ_is_never_reached
app/csms/test_profiles.py::test_never_allows_more_than_the_plan_says_anywhere_within_half_the_skew

0.0001 kW or kWh + 10⁻⁶ of the value
test_tolerances.py::test_what_is_within_a_tolerance_is_kept_and_what_is_beyond_is_named
test_tolerances.py::test_a_large_value_may_be_off_by_a_millionth_of_itself
"""
