"""What a run shows while it generates."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from rollout.engines.base import EngineStats
from rollout.rows.prompt import Prompt
from rollout.rows.request import Sample
from rollout.rows.result import Result
from rollout.rows.signs import Signs
from rollout.runs.display import Figures, TokenRates, prompt_line, sample_lines
from rollout.runs.outlook import Outlook
from rollout.runs.preview import preview_text
from rollout.system.status import Status

STATS = EngineStats(
    num_output_tokens=10**6, num_running=256, num_waiting=180, kv_cache_usage=0.63,
    num_cached_tokens=78, num_queried_tokens=100, memory_gib=71.2, gpu_utilization=0.98,
)  # fmt: skip
SIGNS = Signs(num_rows=430, num_failed=2, num_samples=3440, num_truncated=107)
FIGURES = Figures(
    430, 1000, 3512, 8000, Outlook(0.43, 200, 170, 250), 12345, 11900, STATS, SIGNS, num_gpus=1
)


def test_the_figures_fill_a_line_beside_the_bar_and_two_below():
    status = FIGURES.status()
    assert status.phrases == ("430/1,000 rows", "3,512/8,000 samples")
    assert status.eta() == "ETA 3:20 (2:50-4:10)"
    assert ["   ".join(line) for line in status.details] == [
        "12,345 output tokens/s now   11,900 on average   running 256, waiting 180   KV cache 63%",
        "prefix hits 78%   truncated 3.1%   failed 2   GPU 71.2 GiB, 98%",
    ]


def test_nothing_is_shown_of_what_is_not_there():
    bare = replace(
        FIGURES, stats=EngineStats(memory_gib=3.0), signs=Signs(), num_gpus=0,
        tokens_per_s_now=None, tokens_per_s_average=None, ahead=Outlook(0.0, None),
    )  # fmt: skip
    assert bare.status().line(100) == "  0%  430/1,000 rows  3,512/8,000 samples  ETA -:--"


def test_a_rare_sign_is_not_shown_as_none():
    """One truncated sample of 3,440 was `truncated 0.0%`."""
    rare = replace(FIGURES, signs=replace(SIGNS, num_truncated=1))
    assert "truncated <0.1%" in rare.status().details[1]


def test_a_narrow_line_keeps_how_far_it_is_and_how_long_it_takes():
    lines = [FIGURES.status().line(width) for width in (100, 60, 30)]
    counts = "430/1,000 rows  3,512/8,000 samples"
    assert lines == [
        f" 43%  {counts}  ETA 3:20 (2:50-4:10)  12,345 output tokens/s now",
        f" 43%  {counts}  ETA 3:20",
        " 43%  ETA 3:20  430/1,000 rows",
    ]


def test_it_is_not_done_before_everything_is():
    assert replace(FIGURES, ahead=Outlook(0.999, 1.0)).status().percent == " 99%"


def test_a_time_left_that_may_be_anything_is_not_shown():
    """A run of 3:32 began with `ETA 1:09:32 (0:33-1:10:05)`."""
    vague = Status(0.1, left_s=4172.0, low_s=33.0, high_s=4205.0)
    assert vague.eta() == vague.eta(has_spread=False) == "ETA -:--"
    assert Status(0.9, left_s=12.0, low_s=1.0, high_s=25.0).eta() == "ETA 0:12 (0:01-0:25)"
    assert Status(0.9, left_s=2.0, low_s=0.1, high_s=5.0).eta() == "ETA 0:02 (0:00-0:05)"


def test_scripts_get_plain_numbers():
    values = FIGURES.status().as_json()
    wanted = {
        "fraction": 0.43, "left_s": 200, "low_s": 170, "high_s": 250, "rows": 430,
        "num_samples": 8000, "tokens_per_s_now": 12345, "tokens_per_s_average": 11900,
        "running": 256, "kv_cache_usage": 0.63, "prefix_cache_hit_rate": 0.78, "failed": 2,
    }  # fmt: skip
    assert wanted.items() <= values.items()


def test_the_present_rate_forgets_what_was_long_ago_and_the_average_does_not():
    rates = TokenRates()
    for second in range(21):
        rates.add(float(second), 100 * min(second, 10))
    assert rates.now == 0 and rates.average == 50


def test_no_rate_is_shown_of_the_first_moment():
    rates = TokenRates()
    rates.add(0.0, 0)
    rates.add(0.1, 500)
    assert rates.now is None and rates.average is None


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": [{"type": "text", "text": "and\nthen?\x1b[2J"}]},
]


def test_of_a_chat_the_last_user_turn_is_shown():
    assert prompt_line(Prompt(0, 0, CHAT)) == "and\nthen?\x1b[2J"
    assert prompt_line(Prompt(0, 0, CHAT[:1])) == "Be brief."
    assert prompt_line(Prompt(0, 0, None, token_ids=[1, 2])) == "token ids 1 2"


def test_a_finished_row_is_two_safe_lines():
    result = Result(0, 0, b"", [Sample("a\nb", "stop", 2), Sample("c", "stop", 1)])
    assert sample_lines(Prompt(0, 0, CHAT), result) == (r"and then?\x1b[2J", "> a b")


def test_a_scored_response_is_marked_right_or_wrong():
    samples = [Sample("4", "stop", 1), Sample("5", "stop", 1)]
    rows = [Result(n, n, b"", samples) for n in range(3)]
    verdicts = [["right", "wrong"], ["no_answer", "unjudged"], []]
    text = preview_text(rows, ["2 + 2?"] * 3, verdicts, 80)
    assert text.splitlines() == [
        "2 + 2?", "   ✓ 4", "   ✗ 5",
        "2 + 2?", "   ✗ (no answer) 4", "   > 5",
        "2 + 2?", "   > 4", "   > 5",
    ]  # fmt: skip
    plain = preview_text(rows[:1], ["2 + 2?"], verdicts[:1], 80, is_plain=True)
    assert plain.splitlines()[1:] == ["   right 4", "   wrong 5"]


def test_a_failed_row_without_a_prompt_has_no_blank_line():
    failed = Result(0, 0, b"", error="the prompt is null")
    assert preview_text([failed], [""], [[]], 80).startswith("(no prompt)\n   ! row 0: ")


def test_the_verdicts_of_the_first_rows_are_read_from_the_scored_file(typed):
    """A row that failed is left out of the output, so the verdicts move up by one."""
    table = {"prompt": ["bad", "2 + 2?", "2 + 3?"], "answer": ["1", "4", "5"]}
    pq.write_table(pa.table(table), typed.here / "p.parquet")
    typed(
        "data.input=p.parquet", "run_dir=r", "engine=scripted", "tracking=none",
        "sampling.n_samples=1", "engine.scripted.text='4'", "engine.scripted.refuse=bad",
        "data.on_error=skip", "postprocess.scorer=exact",
    )  # fmt: skip
    assert typed.code == 0, typed.errors
    lines = typed.out.splitlines()
    assert lines[0] == "bad" and lines[1].startswith("   ! row 0: ")
    assert lines[2:6] == ["2 + 2?", "   ✓ 4", "2 + 3?", "   ✗ 4"]
