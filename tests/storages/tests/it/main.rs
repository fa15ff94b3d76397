//! Each case and each storage make one test, such as `sqlite::append_adds`.

/// Cases as tests of one kind of storage.
macro_rules! tests {
    ($kind:expr; $($module:ident::$case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                conformance::writer::program(env!("CARGO_BIN_EXE_writer"));
                conformance::run($kind, conformance::cases::$module::$case);
            }
        )*
    };
}

/// Every case as a test of one kind of storage, and cases that only it can be put
/// through.
macro_rules! cases {
    ($storage:ident: $kind:expr; $($module:ident::$case:ident),* $(,)?) => {
        mod $storage {
            tests! { $kind;
                changes::a_column_appears,
                changes::a_column_appears_in_a_log,
                changes::a_column_disappears,
                changes::a_full_refresh_takes_any_shape,
                changes::another_key_is_refused,
                changes::columns_are_told,
                changes::types_widen,
                changes::what_would_lose_data_is_refused,
                contracts::a_new_column_of_a_frozen_table_is_refused,
                contracts::quarantine_belongs_to_the_commit,
                contracts::rows_of_another_type_go_to_quarantine,
                contracts::values_of_a_new_column_go_to_quarantine,
                crashes::an_undisturbed_load,
                crashes::killed_between_any_two_calls,
                keys::a_key_in_another_order,
                keys::a_key_of_all_fields,
                keys::keys_of_every_type,
                keys::keys_with_separators_and_quotes,
                modes::a_failed_replace_changes_nothing,
                modes::a_full_refresh_replaces_rows_and_state,
                modes::absent_columns_of_rows_of_one_commit,
                modes::append_adds,
                modes::append_takes_rows_without_a_column,
                modes::merge_keeps_columns_that_are_absent,
                modes::merge_upserts,
                modes::merge_without_a_key_is_refused,
                modes::replace_waits_for_the_end,
                modes::replacing_with_nothing_empties_the_table,
                modes::the_last_row_of_a_key_wins,
                names::a_column_in_another_case,
                names::hostile_names,
                names::our_own_tables_are_refused,
                names::reserved_words_as_columns,
                names::reserved_words_as_tables,
                runs::a_backfill_leaves_the_state,
                runs::a_dropped_run_keeps_its_commits,
                runs::a_failed_run_keeps_its_commits,
                runs::commits_without_rows,
                runs::data_marts_beside_each_other,
                runs::looking_changes_nothing,
                runs::state_is_kept_to_the_letter,
                runs::streams_beside_each_other,
                runs::two_runs_at_once,
                values::a_hundred_columns,
                values::a_null_that_may_not_be_is_refused,
                values::a_stream_without_rows_has_a_table,
                values::decimals_of_every_shape,
                values::empty_batches_make_the_table,
                values::every_type_at_its_edges,
                values::floats_that_are_no_numbers,
                values::json_of_every_kind,
                values::nulls_stay_nulls,
                values::text_of_every_kind,
                values::text_with_a_nul,
                values::very_long_text,
                $($module::$case,)*
            }
        }
    };
}

cases! { sqlite: conformance::Kind::Sqlite; crashes::killed_at_any_moment }
cases! { local_files_parquet: conformance::Kind::Parquet; crashes::killed_at_any_moment }
cases! { local_files_csv: conformance::Kind::Csv; }
cases! { local_files_json_lines: conformance::Kind::JsonLines; }
cases! { postgres: conformance::Kind::Postgres; }
cases! { bigquery: conformance::Kind::BigQuery; crashes::each_answer_is_lost_once }
cases! { athena: conformance::Kind::Athena; }

/// Cases that go through a load step by step, against a server: minutes each.
/// `make test-steps` runs them. The crate's own tests of each storage stop it at
/// its requests too.
macro_rules! step_by_step {
    ($storage:ident: $kind:expr; $($case:ident),* $(,)?) => {
        mod $storage {
            $(
                #[test]
                #[ignore = "takes minutes; `make test-steps` runs it"]
                fn $case() {
                    conformance::writer::program(env!("CARGO_BIN_EXE_writer"));
                    conformance::run($kind, conformance::cases::crashes::$case);
                }
            )*
        }
    };
}

step_by_step! { postgres_steps: conformance::Kind::Postgres; cut_at_each_message, killed_at_each_message }
step_by_step! { bigquery_steps: conformance::Kind::BigQuery; each_request_is_refused_once, killed_at_each_request }
step_by_step! { athena_steps: conformance::Kind::Athena;
    each_answer_is_lost_once, each_request_is_refused_once, killed_at_each_request
}
