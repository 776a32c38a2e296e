"""Why one division of the devices among replicas is the best, in words."""

from rollout.config.sections.engine import Device
from rollout.plan.messages import samples
from rollout.plan.replicas import Replicas, host_gib

CLEARLY = 1.05  # times as many samples at once are worth stating as a difference


def reason(options: list[Replicas]) -> str:
    """Return why the first of `options` is the best, or why it does not fit, as one sentence."""
    best, others = options[0], options[1:]
    if not best.fits:
        return best.why
    if best.fit.hardware.device is Device.cpu:
        return _on_cpu(best)
    size = best.engine.world_size
    smaller = [o for o in others if o.engine.world_size < size]
    larger = [o for o in others if o.engine.world_size > size and o.fits]
    clauses = []
    if smaller:
        clauses.append(_against_smaller(best, max(smaller, key=lambda o: o.engine.world_size)))
    if larger:
        stated = bool(clauses) and _held(best) in clauses[0]
        next_larger = min(larger, key=lambda option: option.engine.world_size)
        clauses.append(_against_larger(best, next_larger, stated))
    return "; ".join(clauses) or f"{best.name} is the only size to choose from"


def named_replicas(option: Replicas) -> str:
    """Format size and number: TP 1 (8 replicas)."""
    return f"{option.name} ({option.num_replicas} replica{'s' * (option.num_replicas != 1)})"


def _held(option: Replicas) -> str:
    return samples(option.num_concurrent)


def _against_smaller(best: Replicas, smaller: Replicas) -> str:
    if not smaller.fits:
        return f"with {smaller.name}, {smaller.why}"
    if best.holds_longest and not smaller.holds_longest:
        return (
            f"with {smaller.name}, only {smaller.fit.max_model_len:,} tokens of context fit, and "
            f"the longest row needs {smaller.needs.longest:,}"
        )
    if best.num_replicas == smaller.num_replicas:
        number = best.num_replicas * smaller.engine.world_size
        return (
            f"{named_replicas(smaller)} would use {number} of {best.fit.hardware.num_devices} "
            f"devices and hold {_held(smaller)} samples at once, {best.name} holds {_held(best)}"
        )
    if smaller.is_idle:
        return (
            f"{smaller.num_samples:,} samples do not fill {named_replicas(smaller)}, and with "
            f"{best.name} each device reads fewer weights in a step"
        )
    weights, budget = smaller.fit.weights_gib, smaller.fit.budget_gib
    if best.num_concurrent < CLEARLY * smaller.num_concurrent:
        return (
            f"with {smaller.name} each device reads {weights:.1f} GiB of weights in a step, and "
            f"with {best.name} {best.fit.weights_gib:.1f} GiB"
        )
    return (
        f"with {smaller.name}, weights take {weights:.1f} of the {budget:.1f} GiB of a device, so "
        f"that {named_replicas(smaller)} holds {_held(smaller)} samples at once and "
        f"{named_replicas(best)} {_held(best)}"
    )


def _against_larger(best: Replicas, larger: Replicas, is_stated: bool) -> str:
    """Compare with the next larger size; `is_stated`: what `best` holds was said before."""
    held = "" if is_stated else f"{named_replicas(best)} holds {_held(best)} samples at once, and "
    if larger.num_concurrent < CLEARLY * best.num_concurrent:
        return (
            f"{held}{named_replicas(larger)} would hold no more, and exchange data between GPUs "
            "twice in each layer"
        )
    return (
        f"{held}{named_replicas(larger)} would hold {_held(larger)}, not enough more to pay for "
        "exchanging data between GPUs twice in each layer"
    )


def _on_cpu(best: Replicas) -> str:
    found, hardware = best.fit, best.fit.hardware
    held = f"each takes {host_gib(found):.1f} of the {hardware.free_gib:.1f} GiB that are free"
    cores = f" on {hardware.num_cpus} cores" if hardware.num_cpus else ""
    advice = "measure both (scale.num_replicas=)"
    return f"{held}{cores}; whether several are faster than one is not known: {advice}"
