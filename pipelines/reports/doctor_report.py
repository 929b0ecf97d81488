"""What doctor prints: one experiment in sentences, all experiments in a table."""

from collections.abc import Sequence
from typing import Any

import torch

from competition.console import duration, say, shout, table
from competition.data.manifest import Manifest
from competition.machine import own_cores
from competition.masks.bit_planes import plane_count
from competition.planning.checks import Check, check_machine
from competition.planning.devices import GB, Machine, card_of, this_machine
from competition.planning.diagnosis import Diagnosis
from competition.planning.fitting import largest_batch, largest_side
from competition.planning.run_cost import draw_seconds
from competition.planning.step_timing import open_trial, time_two_sizes
from competition.text import counted
from competition.tracks.track import Track, narrow
from competition.workspace import Workspace
from pipelines.executors.local import slots

USUAL_MEMORY = 24
COLUMNS = ("experiment", "batch", "pixels", "weights", "memory", "fits", "batch <=", "TFLOP", "step", "hours")


def machine_to_plan_for(memory_gb: float | None, cpu: bool) -> Machine:
    """Return the card of --memory, or what is here; without a card one of 24 GB, unless the processor is asked for."""
    here = this_machine()
    if memory_gb is not None:
        return card_of(round(memory_gb * GB))
    if cpu or here.on_cuda:
        return here
    say(f"no GPU found: planning for one with {USUAL_MEMORY} GB; add --cpu to plan for this machine's CPU")
    return card_of(USUAL_MEMORY * GB)


def figures_of(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the figures of one experiment."""
    draws, cost = diagnosis.work.draws, diagnosis.cost
    known: dict[str, Any] = {"track": diagnosis.track, "experiment": diagnosis.experiment}
    known |= {"batch": draws.samples, "size": list(draws.size_hw)}
    if cost is None:
        names = ("weights", "memory_gb", "fits", "largest_batch", "tflops", "step_seconds", "hours", "disk_gb")
        return known | dict.fromkeys(names)
    seconds = cost.seconds if diagnosis.machine.on_cuda else None
    hours = None if seconds is None else diagnosis.hours(seconds)
    return known | {
        "weights": cost.weights,
        "memory_gb": round(diagnosis.machine.needed(cost) / GB, 2),
        "fits": diagnosis.machine.fits(cost),
        "largest_batch": diagnosis.batch_room,
        "tflops": round(cost.flops / 1e12, 3),
        "step_seconds": None if seconds is None else round(seconds, 3),
        "hours": None if hours is None else round(hours, 1),
        "disk_gb": round(diagnosis.written_bytes() / GB, 1),
    }


def as_figures(found: Sequence[Diagnosis], machine: Machine) -> dict[str, Any]:
    """Return what --json holds."""
    about = {"name": machine.name, "memory_gb": round(machine.memory / GB, 1), "fault": machine.fault}
    each = [figures_of(diagnosis) for diagnosis in found]
    of_one = dict.fromkeys(("largest_side", "measured", "draw_seconds"))
    return {"experiments": each, "machine": about, "checks": [], **of_one}


def report_all(found: Sequence[Diagnosis], markdown: bool) -> None:
    """Print a table of experiments."""
    machine = found[0].machine
    rows = [_row(figures_of(diagnosis)) for diagnosis in found]
    title = (
        f"on {machine.name}: memory in GB, of which {machine.memory / GB:.1f} are there; seconds and hours estimated"
    )
    if markdown:
        say("\n".join(f"| {' | '.join(row)} |" for row in (COLUMNS, ["---"] * len(COLUMNS), *rows)))
    else:
        table(title, COLUMNS, rows)
    if any(diagnosis.work.batches is None for diagnosis in found):
        say("hours are for all folds; they need prepared data (./run.sh prepare)")


def _row(figures: dict[str, Any]) -> list[str]:
    def text(name: str, form: str) -> str:
        return "-" if figures[name] is None else format(figures[name], form)

    weights = "-" if figures["weights"] is None else f"{figures['weights'] / 1e6:.1f} M"
    return [
        f"{figures['track']}/{figures['experiment']}",
        str(figures["batch"]),
        "x".join(map(str, figures["size"])),
        weights,
        text("memory_gb", ".1f"),
        {True: "yes", False: "no", None: "-"}[figures["fits"]],
        text("largest_batch", "d"),
        text("tflops", ".2f"),
        text("step_seconds", ".2f"),
        text("hours", ".1f"),
    ]


def report_one(
    diagnosis: Diagnosis, track: Track, workspace: Workspace, manifest: Manifest | None, measure: bool
) -> dict[str, Any]:
    """Print what an experiment needs; return the figures.

    Args:
        diagnosis: Of the experiment.
        track: Its track.
        workspace: Of its data.
        manifest: None where the data is not prepared.
        measure: Whether steps are timed; they are in any case where there is a card.
    """
    figures = as_figures([diagnosis], diagnosis.machine)
    machine, cost, draws, settings = diagnosis.machine, diagnosis.cost, diagnosis.work.draws, diagnosis.settings
    narrowed = narrow(track, settings.data.classes)
    batch_bytes = _batch_bytes(narrowed, diagnosis)
    at_once = len(slots(diagnosis.work.folds))
    checks = check_machine(machine, batch_bytes, diagnosis.written_bytes(), workspace.root, at_once)
    figures["checks"] = [vars(check) for check in checks]
    for check in checks:
        _say_check(check)
    if diagnosis.work.batches is None:
        say(f"data: not prepared, so the number of images is unknown; sizes are those of track {track.name}")
    if cost is None:
        say(f"{settings.model.architecture} works by rules on a CPU; there is no training step to predict")
        return figures
    size = "x".join(map(str, draws.size_hw))
    say(
        f"step: {draws.samples} x {size}, {cost.weights / 1e6:.1f} M weights, {cost.flops / 1e12:.2f} TFLOP, "
        f"{cost.moved_bytes / 1e9:.0f} GB moved"
    )
    needed, there = machine.needed(cost) / GB, machine.memory / GB
    parts = f"{cost.held_bytes / GB:.2f} fixed, {(cost.peak_bytes - cost.held_bytes) / GB:.2f} per step, rest reserve"
    verdict = f"memory: {needed:.1f} GB of {there:.1f} ({parts})"
    (say if machine.fits(cost) else shout)(verdict)
    samples = largest_batch(settings, narrowed, draws, cost, machine)
    side = largest_side(settings, narrowed, draws, cost, machine) if track.task == "segmentation" else None
    figures["largest_side"], figures["experiments"][0]["largest_batch"] = side, samples
    what = "a crop" if settings.data.crop else "an image"
    say(
        f"fits: batches of up to {samples}" + (f", or with batches of {draws.samples} {what} of {side}" if side else "")
    )
    seconds = cost.seconds if machine.on_cuda else None
    if measure or (machine.on_cuda and torch.cuda.is_available()):
        figures["measured"] = _measure(diagnosis, narrowed)
        seconds = figures["measured"]["step_seconds"]
    _say_time(diagnosis, seconds, measured=figures["measured"] is not None)
    if seconds is not None and manifest is not None and settings.data.crop_to is None:
        figures["draw_seconds"] = draw_seconds(settings, narrowed, workspace, manifest)
        _say_limit(figures["draw_seconds"] * draws.samples, seconds, machine)
    return figures


def _batch_bytes(track: Track, diagnosis: Diagnosis) -> int:
    draws = diagnosis.work.draws
    planes = plane_count(len(track.classes)) if track.task == "segmentation" else 0
    values = len(track.views) * track.channels + planes
    return draws.samples * draws.size_hw[0] * draws.size_hw[1] * draws.factor**2 * values


def _say_check(check: Check) -> None:
    (say if check.good else shout)(f"{check.name}: {check.finding}")


def _measure(diagnosis: Diagnosis, track: Track) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = diagnosis.settings.train.precision
    trial = open_trial(
        diagnosis.settings, track, diagnosis.machine.precision if precision == "auto" else precision, device
    )
    timing = time_two_sizes(trial, diagnosis.work.draws)
    peak = round(torch.cuda.max_memory_allocated() / GB, 2) if device.type == "cuda" else None
    (_, fast), (_, slow) = timing.measured
    say(f"measured: {fast:.3f} s and {slow:.3f} s for about a quarter and half of a step")
    return {"step_seconds": round(timing.full, 4), "peak_gb": peak}


def _say_limit(loading: float, seconds: float, machine: Machine) -> None:
    """Say what a step waits for.

    Args:
        loading: Processor seconds of loading a batch.
        seconds: Of computing it.
        machine: That computes.
    """
    if not machine.on_cuda:
        say(f"limit: compute; loading takes {loading:.3f} s of every step on the same cores")
        return
    processes = min(8, max(1, own_cores() - 1))
    share = loading / processes
    by = "loading" if share > seconds else "compute"
    loaders = counted(processes, "loading process", "loading processes")
    say(f"limit: {by}; {loaders} of this machine would take {share:.3f} s for a batch")


def _say_time(diagnosis: Diagnosis, seconds: float | None, measured: bool) -> None:
    if seconds is None:
        say("time: --measure times steps on this processor")
        return
    how = "from two smaller steps" if measured else "estimated at 70 TFLOPS and 700 GB/s"
    draws, work = diagnosis.work.draws, diagnosis.work
    text = f"time: {seconds:.3f} s a step ({how}), {draws.samples / seconds:.1f} samples a second"
    if (hours := diagnosis.hours(seconds)) is None or work.batches is None:
        say(text)
        return
    say(f"{text}; an epoch {duration(work.batches * seconds)}, all {work.folds} folds {hours:.1f} h on one device")
