"""The sections and figures of a scored file: pass@k, verdicts, and length against pass rate.

Figures and intervals are those that the scoring wrote beside the file. "Could not be judged" is a
verdict of its own and counts nowhere as wrong. Must not know how a page is drawn.
"""

from rollout.postprocess.export.estimates import Group
from rollout.postprocess.export.score_texts import score_text
from rollout.report.page import Block, Figure, Note, Section
from rollout.report.score_charts import (
    group_chart,
    ks_of,
    pass_at_k_chart,
    rate_chart,
    score_chart,
    solved_chart,
)
from rollout.report.score_lengths import bins_chart, cut_note, points_chart, right_and_wrong
from rollout.report.score_tables import basis, facts, group_table, reason_table, verdict_table
from rollout.report.scored_rows import Scores
from rollout.system.terminal import share_text


def figures_from(scores: Scores) -> list[Figure]:
    """Return pass@1, the largest pass@k, the mean of graded scores, and the judged share."""
    group, ks = scores.everything, ks_of(scores.everything)
    if not ks:
        why = "no row has so many samples" if group.num_judged else "nothing could be judged"
        name = next((n for n in group.values if n.startswith("pass@")), "pass@1")
        return [Figure("-", name if group.num_judged else "pass@1", why), _judged(group)]
    names = [f"pass@{k}" for k in dict.fromkeys((ks[0], ks[-1]))]
    names += ["mean"] if scores.is_graded and "mean" in group.values else []
    labels = {"mean": "mean score"}
    found = [
        Figure(
            score_text(group.values[name].value),
            labels.get(name, name),
            basis(group.values[name], scores.estimate.confidence),
        )
        for name in names
    ]
    return [*found, _judged(group)]


def _judged(group: Group) -> Figure:
    """Return the share of samples that were judged right or wrong, and what the others are."""
    others = {
        "no answer": group.num_no_answer,
        "cut off": group.num_cut_off,
        "error": group.num_errors,
        "could not be judged": group.num_unjudged,
    }
    listed = ", ".join(f"{name} {number:,}" for name, number in others.items() if number)
    share = share_text(group.num_judged / group.num_samples) if group.num_samples else "-"
    return Figure(share, "judged right or wrong", listed or f"{group.num_samples:,} samples")


def sections_from(scores: Scores) -> list[Section]:
    """Return the sections: scores, by group, verdicts, and length."""
    notes = [Note(text) for text in scores.notes]
    if not scores.everything.num_judged:
        nothing = Note("No sample was judged right or wrong, so there is no pass@k.")
        return [Section("Scores", [*notes, nothing]), _verdict_section(scores)]
    charts = [pass_at_k_chart(scores), solved_chart(scores), rate_chart(scores)]
    charts.append(score_chart(scores))
    blocks: list[Block] = [*notes, facts(scores), *filter(None, charts)]
    sections = [Section("Scores", blocks)]
    if len(scores.groups) > 1:
        found = filter(None, [group_chart(scores), group_table(scores)])
        sections.append(Section("Scores by " + ", ".join(scores.groups[1].name), list(found)))
    sections.append(_verdict_section(scores))
    if scores.samples.tokens is not None:
        said = [Note(text) for text in (right_and_wrong(scores), cut_note(scores)) if text]
        charts = filter(None, [points_chart(scores), bins_chart(scores)])
        sections.append(Section("Length and score", [*said, *charts]))
    return sections


def _verdict_section(scores: Scores) -> Section:
    """Return the number and share of samples by verdict, their lengths, and reasons."""
    blocks: list[Block] = [verdict_table(scores)]
    if scores.reasons:
        blocks.append(reason_table(scores))
    return Section("Verdicts", blocks)
