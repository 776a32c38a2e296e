"""A sweep's page: its points in a table, the objective against the swept keys, quality, pass@k,
speed, and the same prompts side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rollout.report.page import Block, Code, Note, Page, Section
from rollout.report.sweep.axes import axes_of
from rollout.report.sweep.curves import Field, curve, heat_maps
from rollout.report.sweep.heading import Heading, heading_of
from rollout.report.sweep.measures import QUALITY, Measure, label_of, measure_of
from rollout.report.sweep.page_table import page_table
from rollout.report.sweep.pairs import pairs_table
from rollout.report.sweep.pass_curves import pass_curves
from rollout.report.sweep.points import Point
from rollout.report.sweep.ranking import Ranking, is_speed
from rollout.report.sweep.side_by_side import side_by_side
from rollout.report.sweep.speed import speed_blocks
from rollout.report.sweep.spread import Spans, spreads_of
from rollout.system.safe_text import printable
from rollout.system.terminal import counted


def page_of_sweep(directory: Path, points: Sequence[Point], ranking: Ranking) -> Page:
    """Return the page of a sweep; it reads the points' records and files."""
    heading = heading_of(directory, points, ranking)
    return Page(
        heading.title,
        heading.subtitle,
        heading.verdict,
        heading.style,
        heading.figures,
        [*_to_resume(ranking, heading), *_sections(points, ranking, heading)],
    )


def _to_resume(ranking: Ranking, heading: Heading) -> list[Section]:
    """Return the newest command of a sweep that is not finished, which resumes it."""
    if not heading.commands or (ranking.is_finished and not heading.num_more):
        return []
    note = "Type the same command again; every finished row on disk is kept."
    return [Section("To resume", [Code(heading.commands[0])], note)]


def _sections(points: Sequence[Point], ranking: Ranking, heading: Heading) -> Iterator[Section]:
    notes: list[Block] = [Note(printable(note)) for note in ranking.notes]
    if points:
        table, shared = page_table(points, ranking)
        if heading.num_more:
            shared += f" {counted(heading.num_more, 'more point')} not started yet, so not listed."
        yield Section("Points", [*notes, table], shared)
    spreads = spreads_of(points)
    place = {id(point): i for i, point in enumerate(ranking.ranked)}
    at = {i: place[id(point)] for i, point in enumerate(points) if id(point) in place}
    field = Field(points, axes_of(points), at)
    groups = [
        (label_of(ranking.objective), _objective(field, ranking, spreads)),
        ("pass@k", _only(pass_curves(points, ranking.ranked))),
        ("Lengths and diversity", list(_quality(field, ranking, spreads))),
        ("Throughput and memory", speed_blocks(points)),
        ("Side by side", _only(side_by_side(points, ranking.ranked))),
        ("The command", [Code(command) for command in heading.commands]),
    ]
    yield from (Section(title, blocks) for title, blocks in groups if blocks)


def _only(block: Block | None) -> list[Block]:
    return [] if block is None else [block]


def _objective(field: Field, ranking: Ranking, spreads: dict[Path, Spans]) -> list[Block]:
    measure = measure_of(field.points, ranking.objective, spreads)
    if not measure.num_known and is_speed(ranking.objective):
        return []  # a note above says why they are not ranked
    return [
        *_only(curve(field, measure, "objective")),
        *heat_maps(field, measure, "objective_map"),
        *_only(pairs_table(ranking.ranked, ranking.objective)),
    ]


def _quality(field: Field, ranking: Ranking, spreads: dict[Path, Spans]) -> Iterator[Block]:
    """Yield a curve of each figure; a map instead where no key is a number."""
    for name in QUALITY:
        measure = measure_of(field.points, name, spreads)
        if name == ranking.objective or _is_flat(measure):
            continue
        maps = [] if field.axes and field.axes[0].is_number else heat_maps(field, measure, name)
        yield from maps or _only(curve(field, measure, name))


def _is_flat(measure: Measure) -> bool:
    """Whether all points have one value, which is said above the table."""
    return len({value for value in measure.values if value is not None}) <= 1
