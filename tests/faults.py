"""The faults that samebench must survive, and the tests that inject them. `docs/make_faults.py` runs the tests and writes
`docs/faults.md`."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A row of the fault matrix."""

    number: int
    what: str
    injected: str
    """How the tests make this fault happen."""

    tests: tuple[str, ...] = ()
    """The tests, as pytest names them."""

    why_not: str = ""
    """The reason for a fault without tests."""


FAULTS = [
    Fault(
        1,
        "A plugin raises ImportError when it is imported",
        "An installed package with such plugins",
        (
            "tests/commands/test_broken_packages.py::test_the_list_names_broken_plugins_beside_all_others",
            "tests/commands/test_broken_packages.py::test_a_broken_backend_is_a_row_and_the_others_run",
            "tests/test_plugins.py::test_a_broken_plugin_does_not_hide_the_others",
            "tests/running/test_doctor.py::test_a_probe_survives_a_crash_of_the_backend",
        ),
    ),
    Fault(
        2,
        "A plugin ends the process when it is imported",
        "`SystemExit` in plugins and in backends",
        (
            "tests/commands/test_broken_packages.py::test_the_list_names_broken_plugins_beside_all_others",
            "tests/test_plugins.py::test_a_backend_is_found_without_importing_it",
            "tests/test_plugins.py::test_a_broken_plugin_does_not_hide_the_others",
            "tests/running/test_doctor.py::test_a_probe_survives_a_crash_of_the_backend",
        ),
    ),
    Fault(
        3,
        "The import of a backend never ends",
        "A backend that sleeps for ten minutes",
        (
            "tests/commands/test_broken_packages.py::test_the_list_names_broken_plugins_beside_all_others",
            "tests/running/test_doctor.py::test_a_probe_survives_a_crash_of_the_backend",
        ),
    ),
    Fault(
        4,
        "A backend crashes when it is imported",
        "SIGSEGV during the import",
        ("tests/running/test_doctor.py::test_a_probe_survives_a_crash_of_the_backend",),
    ),
    Fault(
        5,
        "The name of a hook is misspelt",
        "A backend file with `samebench_backnd`",
        ("tests/test_plugins.py::test_the_error_names_the_problem_of_a_backend_file",),
    ),
    Fault(
        6,
        "A hook has an argument too many",
        "A backend file with such a hook",
        (
            "tests/test_plugins.py::test_the_error_names_the_problem_of_a_backend_file",
            "tests/test_plugins.py::test_a_broken_plugin_does_not_hide_the_others",
        ),
    ),
    Fault(
        7,
        "Two packages claim one name",
        "Entry points of two packages",
        (
            "tests/test_plugins.py::test_a_name_that_two_packages_use_is_refused_with_both_packages",
            "tests/test_plugins.py::test_a_broken_plugin_does_not_hide_the_others",
        ),
    ),
    Fault(
        8,
        "A plugin is written for another version of samebench",
        "Other values of `api_version`",
        ("tests/test_public_door.py::test_versions_that_are_not_supported",),
    ),
    Fault(
        9,
        "A name is empty, very long, or has forbidden characters",
        "Empty, 300 letters, `/`, `..`, NUL, accents, line breaks",
        (
            "tests/test_plugins.py::test_a_name_that_could_harm_a_file_or_a_terminal_is_refused",
            "tests/running/test_strangers.py::test_a_plan_with_paths_as_names_is_refused",
        ),
    ),
    Fault(
        10,
        "A cell prints megabytes, binary data or terminal sequences",
        "A backend that prints all of these",
        (
            "tests/running/test_faults.py::test_what_a_cell_prints_changes_no_result_and_acts_on_no_terminal",
            "tests/running/test_faults.py::test_a_very_large_log_is_cut",
        ),
    ),
    Fault(
        11,
        "A cell changes its folder, variables, locale, signals and umask",
        "A backend that does, in three cells",
        ("tests/running/test_faults.py::test_what_a_cell_changes_in_its_process_ends_with_it",),
    ),
    Fault(
        12,
        "A backend calls `sys.exit(0)` in a cell",
        "Such a backend",
        ("tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[an exit]",),
    ),
    Fault(
        13,
        "A backend raises an exception",
        "Exceptions with and without a message",
        (
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[an exception]",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[an exception without words]",
        ),
    ),
    Fault(
        14,
        "A cell crashes",
        "SIGSEGV in a backend",
        (
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[SIGSEGV]",
            "tests/running/test_faults.py::test_a_crash_leaves_its_stack_in_the_log",
        ),
    ),
    Fault(
        15,
        "A worker is killed",
        "SIGKILL in a backend",
        ("tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[SIGKILL]",),
    ),
    Fault(
        16,
        "The memory of the machine runs out",
        "A memory limit, and the errors of Python and C++",
        (
            "tests/running/test_faults.py::test_memory_can_be_limited",
            "tests/running/test_faults.py::test_a_cell_without_memory_has_the_peak_of_its_memory",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[no memory]",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[no memory in C++]",
        ),
    ),
    Fault(
        17,
        "The memory of a GPU runs out",
        "The exceptions of the three frameworks, without a GPU",
        (
            "tests/worker/test_failures.py::test_a_gpu_without_memory_has_the_same_status_on_all_frameworks",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[no memory on the device]",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[no memory in CUDA]",
        ),
    ),
    Fault(
        18,
        "A cell hangs, and ignores SIGTERM",
        "A backend that sleeps, and is deaf",
        (
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[a hang]",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[a deaf hang]",
            "tests/running/test_faults.py::test_a_result_that_comes_after_the_time_limit_does_not_count",
            "tests/running/test_doctor.py::test_a_probe_survives_a_crash_of_the_backend",
            "tests/running/test_faults.py::test_a_cell_that_leaves_its_group_ends_at_the_time_limit",
        ),
    ),
    Fault(
        19,
        "A cell hangs in C code that holds Python's lock",
        "`sleep` of the C library",
        ("tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[a hang in C]",),
    ),
    Fault(
        20,
        "A process of a cell outlives it",
        "Children, daemons, and sessions of their own",
        (
            "tests/running/test_faults.py::test_child_processes_of_a_cell_end_with_it",
            "tests/running/test_faults.py::test_nothing_outlives_a_good_cell",
            "tests/running/test_faults.py::test_a_cell_that_leaves_its_group_ends_at_the_time_limit",
        ),
    ),
    Fault(
        21,
        "A worker ends well, but without a result",
        "`os._exit(0)`",
        ("tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[a quiet end]",),
    ),
    Fault(
        22,
        "A worker crashes after it has stored its result",
        "SIGSEGV when the file is there",
        ("tests/running/test_faults.py::test_a_cell_that_crashes_after_its_result_keeps_it_with_a_warning",),
    ),
    Fault(
        23,
        "A result is cut, empty or no JSON",
        "A backend that writes such a result",
        (
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[half a result]",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[an empty result]",
            "tests/running/test_faults.py::test_a_failed_cell_is_a_row_and_the_others_run[another result]",
            "tests/running/test_faults.py::test_an_invalid_result_is_kept_as_evidence",
            "tests/running/test_wreckage.py::test_other_cells_run_after_any_damage_by_a_cell",
        ),
    ),
    Fault(
        24,
        "A result has a missing, unknown, wrong or impossible value",
        "Results with one wrong field each",
        (
            "tests/running/test_run.py::test_a_result_is_checked_when_it_is_read",
            "tests/running/test_wreckage.py::test_a_sealed_result_with_a_wrong_field_is_invalid_and_the_field_is_named",
        ),
    ),
    Fault(
        25,
        "A metric is NaN or infinite",
        "First weights that are infinite",
        (
            "tests/running/test_run.py::test_divergence_is_a_status_and_nan_is_stored_as_text",
            "tests/running/test_run.py::test_numbers_that_are_not_finite_are_divergence",
        ),
    ),
    Fault(
        26,
        "The runner is killed while a worker runs",
        "SIGKILL at several moments",
        (
            "tests/running/test_faults.py::test_a_killed_runner_leaves_no_process_and_can_be_resumed",
            "tests/running/test_faults.py::test_a_cell_that_leaves_its_group_ends_with_a_killed_runner",
        ),
    ),
    Fault(
        27,
        "A run has very many cells",
        "Hundreds of cells; files, threads and processes are counted",
        (
            "tests/running/test_faults.py::test_processes_and_files_do_not_accumulate",
            "tests/running/test_faults.py::test_a_run_of_many_cells_leaves_nothing_open",
        ),
    ),
    Fault(
        28,
        "The result of a cell is that of another cell",
        "One result copied over another",
        ("tests/running/test_faults.py::test_a_result_of_another_cell_is_refused",),
    ),
    Fault(
        29,
        "A backend runs on another device than the user wants",
        "`--device gpu` with the reference, and tensors elsewhere",
        (
            "tests/running/test_devices.py::test_a_backend_that_cannot_use_the_device_of_the_run_is_a_row",
            "tests/test_contract.py::test_the_device_of_a_backend_is_checked",
            "tests/gpu/test_gpu.py::test_tensors_are_on_the_gpu",
        ),
    ),
    Fault(
        30,
        "A backend imports a second framework",
        "A backend that imports a module with the name of another framework",
        (
            "tests/worker/test_provenance.py::test_a_second_framework_in_the_process_is_stored_and_named",
            "tests/worker/test_provenance.py::test_the_framework_of_a_backend_is_no_second_one",
        ),
    ),
    Fault(
        31,
        "Another process uses the GPU",
        "A faked library of the driver that lists processes and memory",
        (
            "tests/timing/test_gpu.py::test_other_users_of_the_gpu_are_named",
            "tests/timing/test_gpu.py::test_a_cell_on_a_gpu_that_others_use_is_disturbed",
        ),
    ),
    Fault(
        32,
        "Two cells want the same GPU",
        "Not injected",
        why_not="Cells of a run follow one another, and there are no leases of GPUs.",
    ),
    Fault(
        33,
        "The user hides GPUs, or chooses one or a part of one",
        "Values of `CUDA_VISIBLE_DEVICES`, with faked GPUs",
        (
            "tests/running/test_devices.py::test_gpus_are_those_of_the_system_that_the_user_leaves_visible",
            "tests/running/test_devices.py::test_a_part_of_a_gpu_that_the_user_has_chosen_is_used",
            "tests/running/test_devices.py::test_gpus_that_the_user_hides_stay_hidden",
            "tests/running/test_devices.py::test_the_cpu_hides_every_gpu_and_the_gpu_is_pinned",
        ),
    ),
    Fault(
        34,
        "The library of the GPU's driver is missing or refuses",
        "A faked library that returns errors",
        (
            "tests/timing/test_gpu.py::test_a_machine_without_the_library_says_so",
            "tests/timing/test_gpu.py::test_a_driver_that_refuses_is_named",
            "tests/timing/test_gpu.py::test_each_timed_segment_has_the_energy_of_the_gpu",
            "tests/timing/test_gpu.py::test_a_cell_without_a_gpu_says_why_it_has_no_readings",
        ),
    ),
    Fault(
        35,
        "The user has set how frameworks take memory",
        "Their variables, set and not set",
        ("tests/running/test_devices.py::test_memory_is_taken_when_it_is_needed_unless_the_user_has_chosen",),
    ),
    Fault(
        36,
        "A backend returns before its work is done",
        "Backends that work later, or in a thread",
        (
            "tests/conformance/test_conformance.py::test_a_fault_is_caught_by_its_rule_and_explained[nothing_pending-0]",
            "tests/conformance/test_conformance.py::test_a_fault_is_caught_by_its_rule_and_explained[nothing_pending-1]",
            "tests/worker/test_peak.py::test_a_backend_that_returns_before_its_work_is_done_is_invalid",
            "tests/backends/test_backend.py::test_rule",
        ),
    ),
    Fault(
        37,
        "The compilation is in the timed work",
        "A slow first step, and slow first segments",
        (
            "tests/worker/test_phases.py::test_a_delay_shows_up_in_its_phase_and_nowhere_else[first_step]",
            "tests/timing/test_steady.py::test_slow_first_segments_are_left_out",
            "tests/timing/test_steady.py::test_a_trend_is_never_steady",
        ),
    ),
    Fault(
        38,
        "The clock is set back during a cell",
        "`time.time` goes backwards in the worker",
        ("tests/running/test_faults.py::test_a_clock_that_is_set_back_makes_no_time_negative",),
    ),
    Fault(
        39,
        "The runner is killed again and again, and the run resumed",
        "SIGKILL at five moments, two of them random",
        (
            "tests/running/test_faults.py::test_a_killed_runner_leaves_no_process_and_can_be_resumed",
            "tests/running/test_run.py::test_the_same_folder_resumes_the_run",
        ),
    ),
    Fault(
        40,
        "A process is killed before it renames its temporary file",
        "SIGKILL at the rename, and files left over",
        (
            "tests/running/test_strangers.py::test_a_run_that_was_killed_before_its_record_can_be_resumed",
            "tests/running/test_strangers.py::test_only_the_temporary_files_of_the_run_itself_are_removed",
            "tests/storage/test_places.py::test_a_cache_entry_is_made_once_even_by_many_processes_and_after_one_was_killed",
        ),
    ),
    Fault(
        41,
        "The disk is full",
        "`/dev/full`, limits of file sizes, and a small disk",
        (
            "tests/running/test_faults.py::test_a_full_disk_is_reported_and_nothing_is_lost",
            "tests/running/test_strangers.py::test_a_run_that_could_write_no_byte_can_be_resumed",
            "tests/running/test_strangers.py::test_a_run_that_could_write_a_few_bytes_can_be_resumed",
            "tests/running/test_strangers.py::test_a_run_on_a_full_disk_can_be_resumed",
            "tests/commands/test_full_disk.py::test_a_command_without_room_for_its_output_ends_with_a_sentence",
            "tests/commands/test_full_disk.py::test_a_run_without_room_for_its_report_is_stored",
            "tests/commands/test_full_disk.py::test_a_report_without_room_leaves_the_old_one",
            "tests/storage/test_places.py::test_an_entry_that_does_not_fit_on_the_disk_is_refused_before_it_is_made",
        ),
    ),
    Fault(
        42,
        "The folder of a run is read-only, or has other files",
        "Closed folders, and folders of others",
        (
            "tests/running/test_wreckage.py::test_a_folder_that_is_closed_to_the_user_is_refused_before_any_cell",
            "tests/running/test_faults.py::test_a_folder_with_other_files_is_refused",
            "tests/running/test_strangers.py::test_a_folder_with_another_run_json_is_not_changed",
            "tests/commands/test_hostile_words.py::test_a_command_that_makes_no_sense_ends_with_a_sentence[a folder that nobody can write to]",
        ),
    ),
    Fault(
        43,
        "Two runs use one folder",
        "Two runners at once; then the first is killed",
        ("tests/running/test_faults.py::test_two_runs_do_not_share_a_folder",),
    ),
    Fault(
        44,
        "A stored result is damaged",
        "Changed bytes, cuts, and empty files",
        (
            "tests/running/test_faults.py::test_a_damaged_result_is_never_used_and_runs_again",
            "tests/storage/test_sealed.py::test_every_changed_byte_and_every_cut_is_found",
            "tests/running/test_wreckage.py::test_a_report_survives_damaged_files",
        ),
    ),
    Fault(
        45,
        "A run was stored by an older or a newer version",
        "Published old results, and a higher schema",
        (
            "tests/running/test_forms_of_files.py::test_published_results_are_read_with_either_seal",
            "tests/running/test_faults.py::test_a_folder_whose_record_cannot_be_read_is_refused",
        ),
    ),
    Fault(
        46,
        "The last line of an event log is torn",
        "Not injected",
        why_not="A run has no log of events: each result is a file of its own.",
    ),
    Fault(
        47,
        "An index over the results is damaged",
        "Not injected",
        why_not="There is no index: a report reads the results themselves.",
    ),
    Fault(
        48,
        "The configuration is changed before a run is resumed",
        "Another batch size in the same folder",
        ("tests/running/test_run.py::test_other_cells_in_the_same_folder_are_kept_and_told_apart",),
    ),
    Fault(
        49,
        "A plugin or a package is upgraded between two runs",
        "Changed code, and other versions",
        (
            "tests/running/test_faults.py::test_a_backend_that_has_changed_since_runs_again",
            "tests/report/test_rows.py::test_each_difference_in_the_basis_makes_a_separate_row",
            "tests/report/test_compare.py::test_other_versions_are_listed_and_judged",
        ),
    ),
    Fault(
        50,
        "Ctrl-C, once or twice, in a run or in a report",
        "SIGINT to commands that wait",
        (
            "tests/running/test_faults.py::test_a_stopped_run_prints_how_to_resume[SIGINT]",
            "tests/commands/test_interrupts.py::test_a_command_whose_backend_is_deaf_ends",
            "tests/commands/test_interrupts.py::test_a_second_ctrl_c_ends_a_run_too",
            "tests/commands/test_interrupts.py::test_a_report_ends_whose_reader_waits",
            "tests/commands/test_interrupts.py::test_a_download_ends",
        ),
    ),
    Fault(
        51,
        "The system ends the run",
        "SIGTERM and SIGHUP",
        (
            "tests/running/test_faults.py::test_a_stopped_run_prints_how_to_resume[SIGTERM]",
            "tests/running/test_faults.py::test_a_stopped_run_prints_how_to_resume[SIGHUP]",
        ),
    ),
    Fault(
        52,
        "A cell finishes while its second attempt runs",
        "Not injected",
        why_not="samebench makes no second attempt by itself.",
    ),
    Fault(
        53,
        "An option is misspelt",
        "Unknown names in files and on the command line",
        (
            "tests/running/test_config.py::test_wrong_settings_are_errors_with_their_paths",
            "tests/running/test_run.py::test_wrong_commands_fail_before_anything_runs",
        ),
    ),
    Fault(
        54,
        "An option has a wrong value, or a run is huge",
        "Wrong types, ranges and numbers; millions of cells",
        (
            "tests/running/test_config.py::test_wrong_settings_are_errors_with_their_paths",
            "tests/running/test_config.py::test_a_large_run_must_be_confirmed",
            "tests/commands/test_hostile_words.py::test_a_command_that_makes_no_sense_ends_with_a_sentence",
            "tests/commands/test_hostile_words.py::test_a_configuration_that_makes_no_sense_ends_with_a_sentence",
        ),
    ),
    Fault(
        55,
        "The command selects nothing",
        "No backend, and names that do not exist",
        (
            "tests/commands/test_command_line.py::test_a_run_without_backends_has_its_own_exit_code",
            "tests/running/test_run.py::test_wrong_commands_fail_before_anything_runs",
        ),
    ),
    Fault(
        56,
        "A backend lacks something that a task needs",
        "`Unsupported` in a backend",
        (
            "tests/running/test_run.py::test_an_unsupported_cell_of_a_named_backend_is_a_failure",
            "tests/commands/test_command_line.py::test_unsupported_is_good_only_if_the_backend_was_not_named",
        ),
    ),
    Fault(
        57,
        "A download is wrong, cut, missing or hangs",
        "A server that answers so",
        (
            "tests/storage/test_places.py::test_one_failure_is_tried_again",
            "tests/storage/test_places.py::test_a_download_that_keeps_failing_is_an_error_in_bounded_time_and_leaves_nothing",
            "tests/storage/test_places.py::test_a_server_that_sends_a_byte_now_and_then_is_given_up",
        ),
    ),
    Fault(
        58,
        "There is no network",
        "A server that refuses or is silent, and `--offline`",
        ("tests/storage/test_places.py::test_without_a_network_the_error_comes_soon_with_advice",),
    ),
    Fault(
        59,
        "An archive wants to write elsewhere, or is a bomb",
        "Links, devices, paths, double names, 1,000 times growth",
        (
            "tests/storage/test_places.py::test_a_tar_that_could_do_harm_is_refused_before_anything_is_written",
            "tests/storage/test_places.py::test_a_zip_that_could_do_harm_is_refused_before_anything_is_written",
        ),
    ),
    Fault(
        60,
        "A file of weights holds code",
        "Pickles that would write a file; NumPy objects; links in HDF5",
        (
            "tests/pretrained/test_formats.py::test_these_payloads_do_run_when_they_are_loaded",
            "tests/pretrained/test_formats.py::test_no_payload_runs_wherever_it_is",
            "tests/pretrained/test_formats.py::test_other_values_than_tensors_are_refused_by_name",
            "tests/pretrained/test_formats.py::test_other_files_are_refused_with_the_reason",
            "tests/pretrained/test_formats.py::test_faults_of_a_zip_file_are_refused",
            "tests/pretrained/test_formats.py::test_hdf5_with_anything_but_numbers_of_its_own_is_refused",
        ),
    ),
    Fault(
        61,
        "Weights are cut, or do not fit the network",
        "Wrong headers, shapes, names and values",
        (
            "tests/pretrained/test_formats.py::test_a_header_that_makes_no_sense_is_refused",
            "tests/pretrained/test_formats.py::test_a_file_that_is_cut_anywhere_is_refused",
            "tests/pretrained/test_formats.py::test_the_tensors_that_a_network_needs_are_required",
            "tests/pretrained/test_renaming.py::test_files_that_do_not_fit_are_refused",
        ),
    ),
    Fault(
        62,
        "Labels or pixels of a dataset cannot be right",
        "Wrong labels, empty splits, one class, other pixel types",
        (
            "tests/test_data.py::test_unusable_data_are_refused",
            "tests/test_data.py::test_pixels_of_both_splits_have_the_same_range",
            "tests/test_data.py::test_pixels_of_another_scale_than_their_type_says_are_refused",
        ),
    ),
    Fault(
        63,
        "A name contains HTML",
        "Tags and scripts as names; all that a page loads",
        (
            "tests/report/test_page.py::test_names_are_inert",
            "tests/report/test_page.py::test_a_browser_runs_only_the_own_script_and_fetches_nothing",
        ),
    ),
    Fault(
        64,
        "A name contains Markdown, LaTeX, or a formula of a spreadsheet",
        "Twenty nasty names",
        (
            "tests/reporters/test_reporters.py::test_names_do_not_break_markdown",
            "tests/reporters/test_reporters.py::test_names_do_not_break_csv",
            "tests/commands/test_comparing.py::test_names_break_no_format",
            "tests/commands/test_results.py::test_hostile_names_are_text_in_the_text_of_a_run",
            "tests/reporters/test_exports.py::test_hostile_names_are_text_in_markdown",
            "tests/reporters/test_exports.py::test_hostile_names_are_text_in_latex",
            "tests/reporters/test_exports.py::test_hostile_names_are_text_in_plots",
        ),
    ),
    Fault(
        65,
        "A name contains terminal sequences or turns the text around",
        "Twenty nasty names",
        (
            "tests/reporters/test_reporters.py::test_names_do_not_act_on_a_terminal",
            "tests/report/test_overview.py::test_names_do_not_act_on_a_terminal",
            "tests/running/test_forms_of_files.py::test_texts_that_a_terminal_must_not_see_are_harmless_in_every_report",
            "tests/running/test_sinks.py::test_names_and_texts_are_plain",
        ),
    ),
    Fault(
        66,
        "A run has no results, one, some, or failed ones only",
        "Such runs, in every report format",
        (
            "tests/reporters/test_reporters.py::test_every_format_can_show_every_run",
            "tests/reporters/test_reporters.py::test_failed_cells_are_counted_and_not_averaged",
        ),
    ),
    Fault(
        67,
        "Two runs that are compared are not alike",
        "Another machine, device, dataset or precision",
        (
            "tests/report/test_compare.py::test_there_is_no_verdict_across_hardware_or_data_unless_it_is_forced",
            "tests/report/test_compare.py::test_rows_of_another_precision_are_shown_and_not_judged",
        ),
    ),
    Fault(
        68,
        "There are too few seeds for a verdict",
        "One to five pairs, and pairs without any variance",
        (
            "tests/report/test_compare.py::test_too_few_pairs_have_no_interval_and_no_verdict_but_undecided",
            "tests/report/test_compare.py::test_ratios_without_any_deviation_were_not_measured",
            "tests/reporters/test_reporters.py::test_two_seeds_have_no_interval",
        ),
    ),
    Fault(
        69,
        "A sink fails, hangs, ends too early, or is missing",
        "Sinks that raise, never answer or never end, beside a good one",
        (
            "tests/running/test_sinks.py::test_a_sink_that_ends_is_given_up_and_the_others_go_on",
            "tests/running/test_sinks.py::test_a_sink_that_hangs_is_ended_in_time_with_all_that_it_has_started",
            "tests/running/test_sinks.py::test_a_sink_ends_with_a_runner_that_is_killed",
            "tests/running/test_sinks.py::test_run_logs_to_sinks_and_a_failing_one_changes_nothing",
        ),
    ),
    Fault(
        70,
        "The environment contains secrets",
        "Tokens and passwords in variables",
        (
            "tests/running/test_faults.py::test_secrets_of_the_environment_are_stored_nowhere",
            "tests/worker/test_provenance.py::test_variables_that_change_numbers_or_speed",
        ),
    ),
    Fault(
        71,
        "The locale, the paths or the home folder are unusual",
        "Other encodings, strange and long paths, no home, no terminal",
        (
            "tests/commands/test_surroundings.py::test_every_command_works",
            "tests/commands/test_surroundings.py::test_no_colour_is_printed_if_the_user_wants_none",
            "tests/storage/test_places.py::test_places_are_as_the_environment_says",
            "tests/commands/test_hostile_words.py::test_a_command_that_makes_no_sense_ends_with_a_sentence[a folder whose name is too long]",
        ),
    ),
    Fault(
        72,
        "A framework's default is not the reference's",
        "One wrong default for each rule of the contract",
        (
            "tests/conformance/test_conformance.py::test_a_suspect_is_caught_by_its_rule_and_named",
            "tests/parity/test_parity.py::test_a_mutant_differs_and_the_verdict_names_the_place",
            "tests/backends/test_backend.py::test_mutants_of_the_framework",
        ),
    ),
]
