"""Launches on one axis: windows, phases and means, on timelines made by hand."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reported import line

from rollout.report.charts import Span
from rollout.report.run.charts import time_charts
from rollout.report.run.records import AttemptRecords, RunRecords, read_lines
from rollout.report.run.so_far import kept_rate
from rollout.report.run.speed import speed_figure
from rollout.report.run.timeline import Window, launches, points, thinned
from rollout.report.run.times import launch_table, time_table


def attempt(lines, number=1, **records):
    return AttemptRecords(number, Path("attempts"), lines=lines, **records)


def attempt_in(path):
    found = read_lines(path)
    return attempt(found.found, is_first_lost=found.is_first_lost)


def at(elapsed_s, rate=100.0, **more):
    return {"elapsed_s": elapsed_s, "output_tokens_per_s": rate, **more}


def spans(launch):
    return [(span.name, span.start, span.end) for span in launch.spans]


def test_the_first_window_begins_where_its_counts_and_rates_say():
    (found,) = launches([attempt([at(12.0, 100.0, num_output_tokens=200), at(14.0)])])
    assert [(w.start_s, w.end_s) for w in found.windows] == [(10.0, 12.0), (12.0, 14.0)]
    assert spans(found) == [("load", 0.0, 10.0)]


def test_without_counts_the_first_window_is_as_long_as_the_interval_between_lines():
    """Of points that share an engine, nothing is counted until a row is finished."""
    lines = [at(12.0, None, num_output_tokens=None, num_rows=0, rows_per_s=0.0)]
    (found,) = launches([attempt(lines, settings={"tracking": {"interval_s": 10.0}})])
    assert [(w.start_s, w.end_s) for w in found.windows] == [(2.0, 12.0)]


def test_the_chart_of_a_point_that_shared_an_engine_says_what_is_not_known():
    lines = [at(float(i), None, prompt_tokens_per_s=5.0) for i in (1, 2)]
    chart = time_charts(launches([attempt(lines, settings={"tracking": {"interval_s": 1.0}})]))[0]
    assert [series.name for series in chart.series] == ["prompt tokens/s"]
    assert chart.note.startswith("Output tokens of points that share an engine are not known")


def test_a_last_window_of_a_moment_is_joined_to_the_one_before():
    (found,) = launches(
        [attempt([at(2.0, 100.0, num_output_tokens=200), at(4.0), at(4.1, 9000.0)])]
    )
    assert [(w.start_s, w.end_s) for w in found.windows] == [(0.0, 2.0), (2.0, 4.1)]
    mean = found.windows[1].mean("output_tokens_per_s")
    assert mean == pytest.approx((2 * 100 + 0.1 * 9000) / 2.1)


def test_recorded_spans_are_taken_as_they_are():
    recorded = [
        {"phase": name, "start_s": start_s, "end_s": end_s}
        for name, start_s, end_s in (("load", 0, 9.0), ("fill", 9.0, 11), ("tail", 11, 12.0))
    ]
    (found,) = launches([attempt([at(10.0), at(12.0)], summary={"spans": recorded})])
    assert spans(found) == [("load", 0, 9.0), ("fill", 9.0, 11), ("tail", 11, 12.0)]
    assert found.windows[0].start_s == 9.0


def test_a_reload_interrupts_the_phases_it_fell_into():
    summary = {
        "spans": [{"phase": "fill", "start_s": 1, "end_s": 4},
                  {"phase": "tail", "start_s": 4, "end_s": 9}],
        "reloads": [{"start_s": 3, "end_s": 5}, {"start_s": 7, "end_s": 8}],
    }  # fmt: skip
    (found,) = launches([attempt([at(2.0)], summary=summary)])
    assert spans(found) == [
        ("fill", 1, 3), ("reload", 3, 4), ("reload", 4, 5), ("tail", 5, 7), ("reload", 7, 8),
        ("tail", 8, 9),
    ]  # fmt: skip


def test_phases_of_lines_stand_for_spans_of_a_run_that_is_not_finished():
    lines = [at(2.0, num_output_tokens=100, phase="fill"), at(3.0, phase="steady"),
             at(4.0, phase="steady"), at(5.0, phase="tail")]  # fmt: skip
    (found,) = launches([attempt(lines)])
    assert spans(found) == [
        ("load", 0.0, 1.0), ("fill", 1.0, 2.0), ("steady", 2.0, 4.0), ("tail", 4.0, 5.0),
    ]  # fmt: skip


def test_seconds_of_an_older_summary_stand_for_spans():
    summary = {"fill_s": 1.0, "steady_s": 2.0, "tail_s": 0.0, "publish_s": 0.5, "wall_s": 5.0}
    lines = [at(2.0, num_output_tokens=100), at(4.0)]
    (found,) = launches([attempt(lines, summary=summary)])
    assert spans(found) == [
        ("load", 0.0, 1.0), ("fill", 1.0, 2.0), ("steady", 2.0, 4.0), ("publish", 4.0, 4.5),
    ]  # fmt: skip
    assert found.end_s == 5.0


@pytest.mark.parametrize("damaged", [3, [3], [{"phase": "load"}], [{"phase": 1, "start_s": 0}]])
def test_damaged_spans_are_no_spans(damaged):
    (found,) = launches([attempt([at(2.0, num_output_tokens=100)], summary={"spans": damaged})])
    assert spans(found) == [("load", 0.0, 1.0)]


def test_the_second_launch_begins_where_the_first_ended():
    first = attempt([at(2.0, num_output_tokens=100)], summary={"wall_s": 3.0})
    second = attempt([at(5.0, num_output_tokens=100)], number=2)
    charts = time_charts(launches([first, attempt([], number=9), second]))
    assert charts[0].spans[0] == Span("attempt 1: load", 0.0, 1.0)
    assert charts[0].spans[-1] == Span("attempt 2: load", 3.0, 7.0)
    assert charts[0].spans[-1].kind == charts[0].spans[0].kind == "load"
    assert list(charts[0].x) == [1.0, 2.0, 4.5, 7.0, 8.0]
    assert charts[0].series[0].values == [100.0, 100.0, None, 100.0, 100.0]


def test_what_was_not_measured_is_a_gap_and_what_is_all_zero_is_no_chart():
    lines = [at(2.0, num_output_tokens=100, num_running=4, kv_cache_usage=0.0), at(3.0)]
    charts = {chart.name: chart for chart in time_charts(launches([attempt(lines)]))}
    assert charts.keys() == {"throughput", "concurrency"}
    assert charts["concurrency"].series[0].values == [None, 4.0, None]
    assert [series.name for series in charts["concurrency"].series] == ["running"]


def test_a_gauge_holds_from_its_reading_on():
    """The 0 that was read at the end was drawn over the time in which 15 ran."""
    read = [(2.0, 15), (4.0, 12), (6.0, 0)]
    lines = [at(s, num_output_tokens=100, num_running=n) for s, n in read]
    charts = {chart.name: chart for chart in time_charts(launches([attempt(lines)]))}
    concurrency = charts["concurrency"]
    assert list(concurrency.x) == [1.0, 2.0, 4.0, 6.0]
    assert concurrency.series[0].values == [None, 15.0, 12.0, 0.0]


def test_without_a_line_there_is_no_chart():
    assert time_charts(launches([attempt([])])) == []


@settings(suppress_health_check=[HealthCheck.too_slow])  # other processes take the cores
@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0, 1e5)), min_size=1, max_size=60),
       st.integers(1, 40))  # fmt: skip
def test_fewer_points_show_as_many_tokens_in_the_same_time(measured, most):
    windows, end_s = [], 0.0
    for seconds, rate in measured:
        windows.append(Window(end_s, end_s + seconds, [at(0.0, rate)], [seconds]))
        end_s += seconds
    found = thinned(windows, most)
    x, (values,) = points(found, ["output_tokens_per_s"])
    assert len(found) <= max(most, 1) + 1 and x[-1] == pytest.approx(end_s, abs=1e-3)
    tokens = sum(w.mean("output_tokens_per_s") * (w.end_s - w.start_s) for w in found)
    assert tokens == pytest.approx(sum(seconds * rate for seconds, rate in measured))
    assert len(x) == len(values) == len(found) + 1


def test_a_torn_last_line_is_normal_and_a_bad_one_is_counted(tmp_path):
    path = tmp_path / "metrics.jsonl"
    text = line(1.0) + "nonsense\n" + line(0.5) + '{"elapsed_s": true}\n' + line(2.0) + '{"elap'
    path.write_text(text)
    lines, num_bad, is_first_lost = read_lines(path)
    assert [found["elapsed_s"] for found in lines] == [1.0, 2.0]
    assert num_bad == 3 and not is_first_lost


def test_a_missing_metrics_file_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "metrics.jsonl") == ([], 0, False)


FULL = [  # 100 tokens/s from second 10 on, in rows of 50 tokens
    line(at_s, num_rows=rows, num_generated_tokens=50 * rows, rows_per_s=per_s, phase="steady",
         output_tokens_per_s=100.0, num_output_tokens=100 * (at_s - 10),
         num_prompt_tokens=4 * rows, prompt_tokens_per_s=4 * per_s)
    for at_s, rows, per_s in ((12.0, 1, 0.5), (14.0, 8, 3.5), (16.0, 12, 2.0))
]  # fmt: skip


@pytest.mark.parametrize("first", ["", "nonsense\n", '{"elapsed_s": true}\n'])
def test_without_its_first_line_the_rate_of_a_killed_launch_is_not_known(tmp_path, first):
    """The counts since the begin were divided by the rate of one window: a wrong begin."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(FULL))
    assert kept_rate(attempt_in(path)) == pytest.approx(100.0)
    path.write_text(first + "".join(FULL[1:]))
    cut = attempt_in(path)
    assert kept_rate(cut) is None
    found = speed_figure(RunRecords(Path("x"), {}, [cut], {}, {}, []))
    assert found.value == "not known" and "the first line of metrics.jsonl" in found.note
    assert found.note.endswith("rows included: 100")
    (launch,) = launches([cut])
    assert [(w.start_s, w.end_s) for w in launch.windows] == [(14.0, 16.0)]
    assert spans(launch) == [("steady", 14.0, 16.0)]


def test_a_killed_launch_counts_kept_tokens_to_its_last_record_and_says_so():
    """Sampled tokens stood beside a rate of kept ones, and its rows looked complete."""
    line = at(4.0, num_rows=81, num_output_tokens=900, num_generated_tokens=600)
    summary = {"num_generated_rows": 19, "num_sampled_tokens": 500, "num_generated_tokens": 400,
               "output_tokens_per_s": 100.0, "wall_s": 5.0}  # fmt: skip
    table = launch_table([attempt([line]), attempt([line], 2, summary=summary)])
    killed, ended = table.rows
    assert killed.cells[3:6] == ["81", "600", "150"]
    assert ended.cells[3:6] == ["19", "400", "100"]
    assert table.note.startswith(
        "Attempt 1: its rows, tokens and rate are those of its last record"
    )
    assert "may be more" in table.note  # 22 on disk, 19 in the table


def test_the_last_launch_of_a_running_run_is_running_also_while_its_engine_loads():
    """It said "no end is recorded" below a page that said "running"."""
    killed, loading = attempt([at(4.0)]), attempt([], 2)
    table = launch_table([killed, loading], is_running=True)
    assert [row.cells[-1] for row in table.rows] == ["no end is recorded", "running"]
    assert launch_table([attempt([at(4.0)])], is_running=True).note == ""


def headline(*lines):
    return speed_figure(RunRecords(Path("x"), {}, [attempt(list(lines))], {}, {}, []))


def test_the_headline_of_a_killed_run_counts_kept_tokens_and_names_the_sampled_ones():
    found = headline(at(4.0, 225.0, num_output_tokens=900, num_generated_tokens=600))
    assert found.value == "150" and found.note.endswith("unfinished rows included: 225")


def test_while_no_row_is_finished_the_headline_is_not_known():
    """It said 1,079 beside 0 samples."""
    found = headline(at(4.0, 225.0, num_output_tokens=900, num_generated_tokens=0))
    assert found.value == "not known" and found.note.startswith("no row was finished over ")
    assert found.note.endswith("unfinished rows included: 225")


def phases(**more):
    summary = {"wall_s": 10.0, "load_s": 1.0, "steady_s": 4.0, "publish_s": 1.0, **more}
    table = time_table(attempt([], summary={"steady_output_tokens_per_s": 9000.0, **summary}))
    return {row.cells[0]: row.cells[1:] for row in table.rows}


def test_scoring_has_a_row_of_its_own_and_is_in_others_of_older_records():
    found, older = phases(score_s=3.0), phases()
    assert (found["score"][0], found["other"][0], older["other"][0]) == ("3.0 s", "1.0 s", "4.0 s")
    assert "scoring" not in found["other"][-1] and older["other"][-1].endswith(", scoring")
    (launch,) = launches([attempt([at(2.0)], summary={"fill_s": 1.0, "score_s": 3.0})])
    assert launch.spans[-1].name == "score"


def test_a_phase_of_a_moment_has_no_rate():
    """The page said steady 286,943 for 0.06 s."""
    assert phases()["steady"][2] == "9,000" and phases(steady_s=0.06)["steady"][2] == ""


def test_without_a_gpu_no_words_of_one_are_said():
    assert "CUDA" in phases()["load"][-1] and "CUDA" not in phases(num_gpus=0)["load"][-1]
    on_cpu, on_gpu = (
        time_charts(launches([attempt([at(2.0, **use), at(4.0, **use)])]))[-1].title
        for use in ({"kv_cache_usage": 0.5}, {"kv_cache_usage": 0.5, "gpu_utilization": 0.9})
    )
    assert (on_cpu, on_gpu) == ("KV cache", "KV cache and GPU")
