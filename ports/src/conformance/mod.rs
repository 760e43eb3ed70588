//! The conformance suite: what every adapter of a port is held to, one list for all of them.
//!
//! An adapter implements the small trait that opens and damages its medium
//! ([`log::LogUnderTest`], [`projection::ViewsUnderTest`], [`history::HistoryUnderTest`]) and
//! stamps the list with a macro, one test per case:
//!
//! ```text
//! ports::event_log_conformance!(MyLogUnderTest::new());
//! ```
//!
//! Where an adapter lacks a capability, the case prints which, and passes.

pub mod archive;
pub mod compare;
pub mod history;
pub mod log;
pub mod projection;
pub mod samples;
pub mod snapshot;
pub mod story;
pub mod transfers;

/// Prints that `case` is left out, since the adapter lacks `capability`.
pub fn skipped(case: &str, capability: &str) {
    use std::io::Write as _;
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {case}: the adapter has no capability {capability}"
    );
}

/// Stamps one `#[tokio::test]` per case of a module of the suite.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($module:ident, $make:expr, [$($case:ident),* $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$module::$case(&mut $make).await;
            }
        )*
    };
}

/// The cases of an event log. The argument makes a fresh
/// [`LogUnderTest`](crate::conformance::log::LogUnderTest).
#[macro_export]
macro_rules! event_log_conformance {
    ($make:expr) => {
        $crate::conformance_cases!(
            log,
            $make,
            [
                an_empty_log_reads_as_nothing,
                batches_are_read_back_byte_for_byte,
                reading_goes_on_from_a_position_in_chunks,
                control_entries_stand_in_their_place,
                a_claim_deposes_the_writer_before,
                a_confirmation_tells_whether_the_writer_was_deposed,
                an_untrimmed_shard_begins_at_the_beginning,
                a_gap_or_an_overlap_is_refused,
                an_earlier_epoch_is_refused,
                an_empty_batch_is_refused,
                entry_of_finds_every_record,
                watch_moves_with_commits,
                shards_are_apart,
                shards_commit_concurrently,
                a_record_of_the_largest_size_fits,
                a_shard_that_does_not_exist_is_refused,
                what_was_committed_survives_reopening,
                a_deposed_writer_stays_deposed_over_commits_of_the_next,
                a_second_opening_is_refused,
                a_damaged_entry_is_named,
            ]
        );
    };
}

/// The cases of read models. The argument makes a fresh
/// [`ViewsUnderTest`](crate::conformance::projection::ViewsUnderTest).
#[macro_export]
macro_rules! read_models_conformance {
    ($make:expr) => {
        $crate::conformance_cases!(
            projection,
            $make,
            [
                empty_read_models_know_nothing,
                every_question_is_answered_as_by_plain_maps,
                large_steps_are_answered_alike,
                single_records_are_answered_alike,
                a_checkpoint_moves_only_from_where_it_is,
                changes_that_contradict_are_refused_whole,
                changes_of_another_log_are_refused,
                a_checkpoint_can_move_without_rows,
                shards_move_apart_and_at_once,
                projection_heads_are_those_of_the_ledgers,
                what_was_applied_survives_reopening,
                a_rebuild_is_compared_and_switched,
                a_rebuild_that_differs_says_where,
                a_rebuild_that_is_given_up_changes_nothing,
            ]
        );
    };
}

/// The cases of an account history. The argument makes a fresh
/// [`HistoryUnderTest`](crate::conformance::history::HistoryUnderTest).
#[macro_export]
macro_rules! history_conformance {
    ($make:expr) => {
        $crate::conformance_cases!(
            history,
            $make,
            [
                an_empty_history_knows_nothing,
                rows_are_read_back_as_by_plain_maps,
                a_long_history_is_read_in_any_range,
                a_row_of_the_most_postings_fits,
                names_that_begin_alike_are_apart,
                writing_a_stretch_again_changes_nothing,
                a_stretch_that_overlaps_moves_on,
                a_stretch_beyond_the_checkpoint_is_refused,
                rows_of_another_log_are_refused,
                another_record_at_the_same_sequence_is_refused,
                a_history_moves_without_rows,
                history_shards_move_apart_and_at_once,
                the_same_stretch_at_once_is_written_once,
                what_was_appended_survives_reopening,
            ]
        );
    };
}

/// The cases of an archive. The argument makes a fresh
/// [`ArchiveUnderTest`](crate::conformance::archive::ArchiveUnderTest).
#[macro_export]
macro_rules! archive_conformance {
    ($make:expr) => {
        $crate::conformance_cases!(
            archive,
            $make,
            [
                an_empty_archive_knows_nothing,
                archived_entries_are_read_back_byte_for_byte,
                control_entries_are_passed_over,
                what_does_not_follow_is_not_archived,
                a_mark_moves_only_from_where_it_is,
                who_archives_at_once_moves_the_mark_once,
                the_largest_entry_fits,
                archived_shards_are_apart,
                archive_watch_moves_with_the_mark,
                what_was_archived_survives_reopening,
            ]
        );
    };
}
