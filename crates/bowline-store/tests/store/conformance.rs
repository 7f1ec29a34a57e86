//! What every store promises. Each function gets a fresh store.

pub(crate) mod accepting;
pub(crate) mod claiming;
pub(crate) mod crediting;
pub(crate) mod ending;
pub(crate) mod flowing;
pub(crate) mod mailing;
pub(crate) mod operating;
pub(crate) mod queueing;
pub(crate) mod reading;
pub(crate) mod recovering;
pub(crate) mod starting;
pub(crate) mod stating;
pub(crate) mod tidying;
pub(crate) mod transacting;
pub(crate) mod writing;

/// Runs every promise against one backend.
macro_rules! promises {
    ($store:ident, $backend:expr) => {
        mod $store {
            $crate::conformance::promises! { @of $backend;
                accepting {
                    gives_back_an_event_and_its_runs_as_they_came
                    answers_a_redelivery_with_the_first_event_and_starts_nothing
                    answers_a_duplicate_within_one_batch
                    keeps_equal_keys_of_different_sources_apart
                    takes_a_key_again_after_its_time
                    accepts_an_event_without_runs
                    moves_a_cursor_with_the_runs_or_not_at_all
                    starts_a_new_run_for_a_replay
                    writes_nothing_when_a_replayed_event_is_missing
                    begins_a_journal_with_what_a_run_inherits
                    refuses_a_dedupe_key_that_is_too_long
                    keeps_bodies_that_are_not_text
                    keeps_large_bodies
                    accepts_one_of_many_concurrent_deliveries
                }
                claiming {
                    claims_higher_priority_first_then_older
                    claims_within_each_workflows_limit
                    claims_within_the_total
                    claims_other_workflows_only_as_asked
                    claims_a_run_once
                    raises_the_epoch_at_every_claim
                    remembers_since_when_effects_are_unsure
                    claims_waiting_runs_when_due
                    claims_new_runs_not_before_they_are_due
                    claims_an_older_due_run_before_a_younger_queued_one
                    says_when_the_next_run_is_due
                    claims_suspects_alone_least_first
                    shares_out_claims_among_concurrent_callers
                }
                queueing {
                    runs_of_one_key_go_one_at_a_time_the_older_first
                    a_run_that_waits_keeps_its_place_in_line
                    every_kind_of_end_lets_the_next_one_go
                    a_held_run_that_is_cancelled_holds_nobody
                    a_dead_letter_that_is_retried_waits_for_who_is_in_front
                    a_held_run_keeps_its_time
                    a_line_survives_the_death_of_its_node
                    as_many_of_a_key_as_its_rule_allows_go_together
                    a_dead_letter_that_blocks_holds_back_those_behind_it
                    a_dead_letter_that_is_retried_is_not_held_by_a_later_one
                    a_run_brings_its_own_rule
                }
                flowing {
                    an_event_of_an_open_unique_key_leaves_a_run_that_names_the_open_one
                    a_dead_letter_of_a_unique_key_lets_others_run_and_is_not_retried_beside_them
                    of_a_paused_workflow_nothing_is_claimed_and_everything_accepted
                    of_a_paused_workflow_no_suspect_of_a_crash_is_claimed_either
                    a_later_event_replaces_a_debounced_run_that_has_not_begun
                    a_debounced_run_goes_after_its_longest_wait
                    events_join_a_batch_until_it_is_full_or_its_time_has_come
                    a_batch_goes_when_its_events_have_as_many_bytes_as_it_holds
                    a_batch_is_kept_with_all_its_events
                    runs_begin_at_their_pace_and_only_their_first_start_counts
                    a_quick_pace_goes_several_at_a_time
                    a_keyed_run_waits_for_its_turn_and_then_for_its_pace
                    a_pace_outlives_a_clock_that_is_set_back
                    a_batch_outlives_a_clock_that_is_set_back
                    a_new_rule_of_pace_holds_for_those_that_come_under_it
                }
                writing {
                    appends_entries_in_order
                    gives_back_every_kind_of_entry_as_it_came
                    refuses_a_late_acknowledgement_of_an_older_owner
                    refuses_a_write_to_a_run_that_ended
                    refuses_a_write_to_a_run_that_never_was
                    refuses_entries_that_do_not_follow
                    writes_a_repeated_write_once
                    writes_a_repeated_end_once
                    does_not_mistake_another_write_for_a_repeated_one
                    ends_a_run_in_the_commit_of_its_last_entry
                    keeps_why_a_run_is_a_dead_letter
                    cuts_long_summaries_at_a_character
                    gives_a_released_run_back_to_the_queue
                    keeps_large_payloads
                    checks_the_epoch_without_entries
                    removes_entries_and_keeps_their_places
                    removes_no_entries_but_the_runs_own
                }
                operating {
                    retries_a_dead_letter_with_its_journal_kept
                    discards_a_dead_letter
                    cancels_a_waiting_run
                    keeps_why_a_run_was_cancelled
                    opens_an_ended_run_again
                    refuses_a_run_in_another_state
                    refuses_a_journal_that_has_grown
                    says_that_a_run_is_not_there
                    never_makes_a_run_running
                }
                ending {
                    tells_of_every_kind_of_end_with_the_ended_run
                    tells_at_once_of_a_run_that_ended_before
                    tells_of_no_end_while_a_run_goes_on
                    tells_all_who_wait_for_a_run_and_nobody_else
                    tells_the_rest_when_some_who_waited_left
                    waits_for_a_retried_dead_letter_again
                    tells_of_a_waiting_run_that_an_operator_cancels
                    tells_of_the_end_of_a_write_that_was_answered_late
                    knows_no_end_of_a_run_that_is_not_there
                    keeps_nobody_waiting_who_waits_at_a_close
                }
                mailing {
                    keeps_a_signal_that_comes_before_its_wait
                    wakes_a_run_that_waits_for_a_message
                    a_run_does_not_rest_over_a_message_that_it_has_not_seen
                    a_message_that_was_first_overtakes_the_timeout
                    a_timeout_that_was_first_tells_a_late_message_so
                    of_messages_and_a_timeout_one_wins
                    tells_a_message_why_it_is_not_kept
                    takes_one_message_at_a_one_time_address
                    finds_an_address_by_all_of_its_token
                    opens_a_closed_signal_with_its_next_wait
                    keeps_a_message_once_under_its_senders_id
                    refuses_messages_past_the_limits
                    keeps_no_more_bytes_of_a_runs_messages_than_fit_into_memory
                    reads_a_message_once
                    tells_of_runs_with_new_messages_after_the_commit
                    loses_no_wake_up_between_messages_and_rests
                    lists_mailboxes_those_opened_last_first
                    clears_the_mail_of_a_run_that_ends
                    a_dead_letter_keeps_its_mail_for_when_it_goes_on
                    ends_a_wait_in_a_mailbox_that_stays_open
                    a_wait_that_is_given_up_takes_its_messages_with_it
                    an_address_that_is_made_and_given_up_at_once_is_closed
                    a_message_that_nobody_could_read_leaves_room_for_another
                    a_message_to_a_run_in_a_line_moves_nobody
                    keeps_unread_messages_and_wakes_over_a_restart
                    wakes_each_of_many_waiting_runs
                }
                starting {
                    starts_a_child_in_its_parents_write
                    starts_nothing_with_a_write_that_is_refused
                    refuses_a_start_that_is_none
                    starts_a_child_once_however_often_its_parent_writes_it
                    answers_a_repeated_end_with_what_it_started
                    tells_a_parent_that_waits
                    tells_a_parent_that_runs_and_one_that_goes_to_rest
                    tells_a_parent_that_is_queued_or_a_dead_letter
                    loses_no_childs_end_while_its_parent_goes_to_rest
                    tells_of_every_kind_of_end
                    tells_of_a_repeated_end_once
                    tells_nobody_of_a_detached_run
                    tells_nothing_to_a_parent_that_ended_or_waits_no_longer
                    lets_nobody_else_tell_of_a_childs_end
                    waits_for_an_earlier_child_that_is_open
                    takes_the_end_of_an_earlier_child_that_completed
                    starts_anew_after_an_earlier_child_that_was_cancelled
                    waits_for_an_earlier_child_that_is_a_dead_letter
                    hands_its_parent_and_its_signals_to_the_run_that_goes_on
                    tells_a_family_in_the_commit_that_cancels_a_run
                    a_dead_letter_holds_up_nobody_who_is_undone
                    finds_the_latest_of_a_chain_also_when_the_first_is_gone
                    lists_the_runs_that_a_run_started
                    keeps_children_apart_from_events
                }
                crediting {
                    knows_no_credential_that_was_never_saved
                    gives_a_credential_back_as_it_was_saved
                    replaces_only_the_credential_that_was_read
                    stores_one_of_many_that_replace_the_same_credential
                    stores_a_repeated_save_once
                    forgets_a_credential_at_the_version_that_was_read
                    never_gives_a_version_again
                    lists_credentials_by_the_beginning_of_their_names
                    finds_credentials_after_a_restart
                    keeps_credentials_whatever_retention_drops
                    leases_to_one_holder_at_a_time
                    leases_to_one_of_many_who_ask
                    lets_a_holder_take_its_lease_for_longer
                    leases_again_once_the_holder_gave_it_back
                    ends_a_lease_of_a_clock_that_was_set_back
                    saves_whoever_has_the_lease
                    refuses_credentials_past_the_limits
                    refuses_more_credentials_than_the_limit
                    refuses_more_leases_than_the_limit_until_some_end
                }
                reading {
                    knows_nothing_of_what_is_not_there
                    reads_histories_in_the_order_asked
                    reads_the_other_histories_when_one_is_missing
                    reads_a_new_runs_history_as_often_as_asked
                    reads_what_was_written_before_the_history_was_first_read
                    lists_runs_newest_first_page_by_page
                    lists_runs_by_state_and_workflow
                    lists_the_runs_of_an_event
                    tells_forks_from_replays
                    yields_what_a_run_completed_with_and_nothing_before
                    counts_runs_by_state
                    says_since_when_the_oldest_run_waits_for_a_claim
                    probes
                    refuses_calls_after_it_was_closed
                }
                recovering {
                    finds_everything_after_a_restart
                    queues_what_was_running_at_a_crash_and_counts_it
                    counts_a_crash_as_alone_only_for_a_run_that_was
                    forgets_crashes_when_a_run_gets_on
                    keeps_crashes_when_a_run_only_notes_a_start
                    keeps_waiting_runs_waiting
                    refuses_the_dead_nodes_writes
                    keeps_unsure_effects_through_crashes
                    gives_every_node_its_own_id
                }
                stating {
                    gives_back_a_value_as_it_was_set
                    keeps_spaces_and_keys_apart
                    records_its_answer_as_the_last_entrys_payload
                    changes_a_value_once_when_its_write_is_repeated
                    changes_nothing_for_a_stale_owner
                    replaces_only_the_version_that_was_read
                    lets_one_of_many_win_a_compare_and_set
                    counts_every_add_of_many
                    never_gives_a_values_version_again
                    sees_no_value_past_its_time
                    keeps_a_counters_time_unless_an_add_says_another
                    refuses_to_count_what_is_no_whole_number
                    refuses_keys_and_values_that_are_too_long
                    finds_values_after_a_restart
                    tidies_values_past_their_time
                    lists_values_by_the_beginning_of_their_keys
                }
                transacting {
                    commits_the_users_rows_with_the_steps_record
                    writes_nothing_when_the_closure_fails
                    lets_a_closure_go_on_after_a_row_that_does_not_fit
                    runs_the_closure_once_when_its_write_is_repeated
                    runs_no_closure_for_a_stale_owner
                    takes_a_panic_for_a_failure
                    gives_up_a_closure_that_sleeps_past_its_deadline
                    begins_no_more_closures_while_many_hang
                    gives_up_sql_that_runs_past_its_deadline
                    harms_no_neighbour_when_a_transaction_fails
                    gives_back_values_of_every_type
                    refuses_more_rows_than_the_limit
                }
                tidying {
                    removes_old_ended_runs_with_journals_and_events
                    keeps_what_ended_later
                    keeps_open_runs_and_dead_letters_with_journals_and_events
                    removes_what_it_kept_once_it_ended
                    keeps_an_event_that_a_later_run_replays
                    forgets_dedupe_keys_after_their_time
                    answers_a_redelivery_after_its_event_was_removed
                    counts_without_what_was_removed
                    never_gives_an_id_again
                    lists_runs_across_periods
                    works_while_runs_go_on
                }
            }
        }
    };
    (@of $backend:expr; $($module:ident { $($promise:ident)+ })+) => {
        $($(#[tokio::test]
        async fn $promise() {
            let mut bench = $crate::bench::Bench::new(Box::new($backend)).await;
            $crate::conformance::$module::$promise(&mut bench).await;
        })+)+
    };
}
pub(crate) use promises;
