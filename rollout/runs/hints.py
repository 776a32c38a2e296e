"""Notes on what the user may not have meant, before it costs a night."""

from collections.abc import Iterator

from rollout.config.sections.data import Template
from rollout.config.sections.engine import Device
from rollout.engines.base import EngineFacts
from rollout.plan.prompts.first_rows import STRINGS_CONTINUED
from rollout.runs.job import Job


def hints(job: Job, facts: EngineFacts) -> Iterator[str]:
    """Yield the notes, once the engine is up."""
    data = job.settings.data
    first = next(iter(job.prompts)).content
    as_they_are = data.apply_chat_template is Template.auto and data.prompt_format.name == "auto"
    if isinstance(first, str) and as_they_are and facts.has_chat_template:
        yield STRINGS_CONTINUED
    busy = job.machine.load_average / job.machine.num_cpus
    if facts.name == "vllm" and job.device is Device.cpu and busy > 1.2:
        yield (
            f"the machine is busy (load {job.machine.load_average:.1f} on {job.machine.num_cpus} "
            "cores); the CPU engine may run several times slower"
        )
