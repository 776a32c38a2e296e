"""Pages of invented runs and sweeps, and pages of hostile texts, to try the page maker on."""

import math
import random

from rollout.report.charts import Chart, Format, HeatMap, Kind, Series, Span
from rollout.report.page import (
    Browser,
    Code,
    Facts,
    Figure,
    Note,
    Page,
    PromptView,
    SampleView,
    Section,
    Table,
    TableColumn,
    TableRow,
)

WORDS = (
    "first we count the boxes then add the rest which gives twelve so half of it is six and the "
    "total cost in dollars per week is therefore"
).split()
SYSTEM = "You are a careful tutor. Think step by step and end with the answer in \\boxed{}."


def run_page(num_prompts: int = 40, n: int = 4, chars: int = 500) -> Page:
    """Return a page as that of a scored run."""
    return Page(
        "qwen3_4b on gsm8k-test",
        subtitle=[
            "Qwen/Qwen3-4B · gsm8k-test.parquet · 1,319 rows × 4 samples · seed 42",
            "1 × A100 80GB · vLLM 0.32.0 · 2026-11-29 14:23 +01:00",
        ],
        verdict="complete: 1,317 of 1,319 rows, 2 failed",
        figures=[
            Figure("87.4%", "pass@1", "95% interval 85.6-89.0%, 1,317 rows"),
            Figure("4,812", "output tokens/s", "steady phase, 1 GPU"),
            Figure("3.1%", "truncated", "163 of 5,268 samples at max_tokens=2048"),
            Figure("412", "median response", "tokens; p95 1,204"),
            Figure("9:41", "wall clock", "load 1:12, generation 8:29"),
        ],
        sections=[
            Section("Speed", [*speed_charts(), Note("Averages leave load and tail out.")]),
            Section("Lengths", [histogram(), scatter()], note="Counted in the model's tokens."),
            Section("Rows", [slowest()]),
            Section("Samples", [browser(num_prompts, n, chars)]),
            Section(
                "How it was run",
                [
                    Facts([("model", "Qwen/Qwen3-4B"), ("temperature", "0.6"), ("n_samples", "4")]),
                    Code("python -m rollout data.input=gsm8k-test.parquet model=qwen3_4b", "again"),
                    Code("model:\n  model_path: Qwen/Qwen3-4B\n" * 20, "config", is_folded=True),
                ],
            ),
        ],
    )


def speed_charts() -> list[Chart]:
    rng = random.Random(1)
    seconds = [10.0 * i for i in range(60)]
    ramp = [min(1, max(0, (s - 70) / 60)) * min(1, max(0.05, (570 - s) / 60)) for s in seconds]
    spans = [
        Span("load", 0, 72),
        Span("fill", 72, 130),
        Span("steady", 130, 510),
        Span("tail", 510, 581),
    ]
    common = dict(
        x_label="time since launch", x=seconds, spans=spans, x_format=Format.seconds, group="time"
    )
    rate = [
        None if s < 70 else 4800 * r * rng.uniform(0.93, 1.05)
        for s, r in zip(seconds, ramp, strict=True)
    ]
    return [
        Chart(
            "throughput",
            "Throughput",
            y_label="output tokens/s",
            series=[Series("now", rate)],
            note="Tokens of finished and unfinished responses, per 10 s.",
            **common,
        ),
        Chart(
            "requests",
            "Requests",
            y_label="requests",
            series=[
                Series("running", [256 * r for r in ramp], Kind.steps),
                Series(
                    "waiting", [max(0, 5000 - 9 * s) if s > 70 else 0 for s in seconds], Kind.steps
                ),
            ],
            **common,
        ),
        Chart(
            "kv_cache",
            "KV cache",
            y_label="share in use",
            series=[Series("in use", [0.92 * r * rng.uniform(0.97, 1.0) for r in ramp])],
            y_format=Format.percent,
            **common,
        ),
    ]


def histogram() -> Chart:
    x = [50.0 * i for i in range(41)]
    stop = [900 * math.exp(-(((v - 400) / 260) ** 2)) for v in x]
    cut = [0.0] * 40 + [163.0]
    return Chart(
        "lengths",
        "Response lengths",
        "tokens",
        "samples",
        x,
        [Series("stop", [round(v) for v in stop], Kind.bars), Series("cut off", cut, Kind.bars)],
        note="Bars of 50 tokens.",
    )


def scatter() -> Chart:
    rng = random.Random(2)
    x = sorted(rng.uniform(100, 1800) for _ in range(150))
    rate = [max(0.0, min(1.0, round(4 * (1.1 - v / 1900 + rng.uniform(-0.4, 0.3))) / 4)) for v in x]
    labels = [f"row {rng.randrange(1319)}" for _ in x]
    return Chart(
        "length_pass",
        "Length against pass rate",
        "mean tokens",
        "pass rate",
        x,
        [Series("rows", rate, Kind.points, labels=labels)],
        y_format=Format.percent,
    )


def slowest() -> Table:
    columns = [
        TableColumn("row", True),
        TableColumn("latency", True, "from submission to last token"),
        TableColumn("finish"),
        TableColumn("prompt"),
    ]
    rows = [
        TableRow(
            [str(i), f"{90 - 3 * i}.5 s", "length" if i % 3 else "stop", "How many boxes fit?"],
            [i, 90.5 - 3 * i, None, None],
            prompt=i,
        )
        for i in range(8)
    ]
    rows.append(
        TableRow(
            ["17", "–", "", "A prompt that is too long"],
            [17, None, None, None],
            "failed",
            "PromptTooLong: 9,214 tokens, max_model_len=8192",
            17,
        )
    )
    return Table(columns, rows, note="Latency counts waiting.")


def browser(num_prompts: int, n: int, chars: int, sources: tuple[str, ...] = ("",)) -> Browser:
    rng = random.Random(3)
    prompts = []
    for number in range(num_prompts):
        failed = number == 17
        samples = [None if failed else [a_sample(rng, chars) for _ in range(n)] for _ in sources]
        messages = [
            ("system", SYSTEM),
            ("user", "2 + 2?"),
            ("assistant", "\\boxed{4}"),
            ("user", f"Box {number} holds {rng.randrange(99)} pens. How many are in half of it?"),
        ]
        errors = ["PromptTooLong: 9,214 tokens" if failed else None for _ in sources]
        prompts.append(PromptView(number, messages, samples, errors, "42", 96))
    return Browser(prompts, sources, 1319, "A subset drawn with seed 0, and all failed rows.")


def a_sample(rng: random.Random, chars: int) -> SampleView:
    text = " ".join(rng.choices(WORDS, k=max(1, round(chars * rng.uniform(0.5, 1.5) / 5.2))))
    verdict = rng.choices(["right", "wrong", "no_answer", "cut_off"], [8, 3, 1, 1])[0]
    extracted = {"right": "42", "wrong": str(rng.randrange(40))}.get(verdict)
    finish = "length" if verdict == "cut_off" else "stop"
    reasoning = text[: len(text) // 4] if rng.random() < 0.5 else None
    score = float(verdict == "right")
    return SampleView(text, reasoning, finish, len(text) // 4, score, verdict, extracted)


def sweep_page() -> Page:
    """Return a page as that of a sweep over temperature and top_p."""
    names = ["t=0.2", "t=0.6", "t=1.0"]
    temperatures = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
    pass_1 = [0.80, 0.81, 0.815, 0.80, 0.77, 0.70, 0.55]
    pass_8 = [0.80, 0.88, 0.91, 0.93, 0.94, 0.93, 0.88]
    curves = [
        Series(name, values, low=[v - 0.02 for v in values], high=[v + 0.02 for v in values])
        for name, values in (("pass@1", pass_1), ("pass@8", pass_8))
    ]
    memory = [14.0, 18.0, 22.5, 30.0, 44.0]
    speed = [
        Series(
            "points",
            [900.0, 2100.0, 2000.0, 3900.0, 4300.0],
            Kind.points,
            labels=[f"max_num_seqs={2**i}" for i in range(4, 9)],
        ),
        Series("Pareto front", [900.0, 2100.0, None, 3900.0, 4300.0], Kind.steps),
    ]
    bars = Series(
        "truncated",
        [0.01, 0.02, 0.02, 0.03, 0.05, 0.09, 0.2],
        Kind.bars,
        low=[0.0, 0.01, 0.01, 0.02, 0.03, 0.07, 0.17],
        high=[0.02, 0.03, 0.04, 0.05, 0.07, 0.11, 0.23],
    )
    grid = [[0.1 * i + 0.09 * j for j in range(5)] for i in range(4)]
    grid[2][3] = None
    table = Table(
        [
            TableColumn("temperature", True),
            TableColumn("pass@1", True, "95% interval"),
            TableColumn("tokens/s", True),
        ],
        [
            TableRow(
                [f"{t:.1f}", f"{100 * p:.1f}% ±2.0", "4,812"],
                [t, p, 4812.0],
                "best" if p == max(pass_1) else "",
            )
            for t, p in zip(temperatures, pass_1, strict=True)
        ]
        + [TableRow(["1.4", "", ""], [1.4, None, None], "waiting")],
    )
    return Page(
        "temperature × top_p on gsm8k",
        [
            "Qwen/Qwen3-4B · 2026-11-29 · seed 42",
            "python -m rollout -m sampling.temperature=0,0.2,0.4",
        ],
        "resumable: 7 of 8 points are complete",
        "warning",
        [Figure("81.5%", "best pass@1", "temperature=0.4")],
        [
            Section("Points", [table]),
            Section(
                "Scores",
                [
                    Chart(
                        "pass_at_k",
                        "pass@k",
                        "temperature",
                        "share",
                        temperatures,
                        curves,
                        y_format=Format.percent,
                    ),
                    Chart(
                        "truncated",
                        "Truncated",
                        "temperature",
                        "share of samples",
                        [float(i) for i in range(7)],
                        [bars],
                        ticks=[f"temperature={t}" for t in temperatures],
                        y_format=Format.percent,
                    ),
                    Chart(
                        "pareto",
                        "Throughput against memory",
                        "GiB",
                        "output tokens/s",
                        memory,
                        speed,
                    ),
                    Chart(
                        "loss",
                        "Error rate",
                        "k",
                        "share",
                        [1.0, 10.0, 100.0],
                        [Series("e", [0.1, 0.01, 0.0])],
                        x_format=Format.log,
                        y_format=Format.log,
                    ),
                    Chart("none", "Nothing yet", "k", "share", [], [Series("e", [])]),
                    HeatMap(
                        "grid",
                        "pass@1",
                        "top_p",
                        "temperature",
                        [f"{0.6 + i / 10:.1f}" for i in range(5)],
                        [f"{i / 3:.1f}" for i in range(4)],
                        grid,
                        format=Format.percent,
                        note="No value: not run yet.",
                    ),
                ],
            ),
            Section("Side by side", [browser(12, 3, 300, tuple(names))]),
        ],
    )
