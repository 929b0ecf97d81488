"""What computes: a graphics card, or the processor where there is none; its memory, its speed, and whether it works."""

from dataclasses import dataclass

import torch

from competition.machine import MB
from competition.models.gpu import gpu_fault, gpu_of
from competition.planning.meter import Rates
from competition.planning.step_cost import StepCost
from competition.training.precision import NATIVE_BF16

GB = 1024**3

SUPPOSED_RATES = Rates(flops=70e12, bytes=700e9)
"""Of a card that is not there: what convolutions reach on cards of 24 GB, some 45 % of the 165 TFLOPS (bf16, sums in
float32) and 70 % of the 1,008 GB/s on the data sheet of an RTX 4090. Not measured: no card has run this yet."""

CARD_RESERVE = 3 * GB // 2
"""Of a card's memory: the CUDA context, workspaces of cuDNN and cuBLAS, and what the 24 GB of an A10G lack (22.5)."""
CARD_SPARE = 1.05
"""Of what tensors take on a card: rounding and gaps of the allocator."""

PROCESS_BYTES = 25 * MB
PROCESS_SPARE = 1.4
"""A process on a CPU holds more than its tensors: threads and compiled kernels, and gaps between the tensors of a step
in the heap, which run.sh lets it keep. Measured growth in MB against the tensors of 98 held + 173: 379 (knee/quick, 8 x
128 pixels), 25 + 60: 129 (hand_bone/quick, 2 x 128), 1,297 + 341: 1,616 (hrnet_w48_tiles, 1 x 256); only 32 views of
96 pixels (aneurysm/quick) leave larger gaps, 79 + 139: 404."""


@dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
        name: For messages.
        memory: That training can have, in bytes.
        on_cuda: Whether it is a card, present or supposed.
        precision: That ``train.precision: auto`` means here.
        fault: Why the card that is there can't be used; "" where it can or there is none.
    """

    name: str
    memory: int
    on_cuda: bool
    precision: str
    fault: str = ""

    def needed(self, cost: StepCost) -> int:
        """Return the memory that training needs here, in bytes."""
        step = cost.peak_bytes - cost.held_bytes
        if self.on_cuda:
            return round(CARD_SPARE * cost.peak_bytes) + CARD_RESERVE
        return PROCESS_BYTES + cost.held_bytes + round(PROCESS_SPARE * step)

    def memory_of_step(self, cost: StepCost) -> float:
        """Return the memory in bytes that tensors of a step can have beside those that are held."""
        if self.on_cuda:
            return (self.memory - CARD_RESERVE) / CARD_SPARE - cost.held_bytes
        return (self.memory - PROCESS_BYTES - cost.held_bytes) / PROCESS_SPARE

    def fits(self, cost: StepCost) -> bool:
        """Return whether it trains here."""
        return self.needed(cost) <= self.memory


def card_of(memory: int) -> Machine:
    """Return a card that is supposed, of ``memory`` bytes and new enough for bf16."""
    return Machine(f"a card of {memory / GB:.0f} GB", memory, on_cuda=True, precision="bf16", fault=gpu_fault())


def this_machine() -> Machine:
    """Return the card that is here, with the memory that is free on it, else the processor and free main memory."""
    if gpu_fault() or not torch.cuda.is_available():
        return Machine("the processor", free_memory(), on_cuda=False, precision="fp32", fault=gpu_fault())
    native = torch.cuda.get_device_capability() >= NATIVE_BF16
    free, _ = torch.cuda.mem_get_info()
    # The context exists already, and is not free.
    return Machine(gpu_of(torch.device("cuda")), free, on_cuda=True, precision="bf16" if native else "fp16")


def free_memory() -> int:
    """Return the main memory in bytes that processes can still have."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            known = dict(line.split(":", 1) for line in file)
        return int(known["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # not Linux
        return 8 * GB
