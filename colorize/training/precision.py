"""Device, number format, determinism and threads: what the hardware decides about training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch


def choose_device(name: str | None = None) -> torch.device:
    """The device called `name`; None: a GPU where there is one, else the CPU.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device '{name}': torch sees no GPU here; use --device cpu, or leave the device out")
    return device


def choose_precision(wanted: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """The number format of the forward pass; weights and losses are float32 always.

    On its own it takes bfloat16 only on GPUs that compute with it: a CPU without such instructions is 3 times slower
    with it, and one that has them would train other weights than one that has not.

    Raises:
        ValueError: bfloat16 is asked for on a device that has no arithmetic for it.
    """
    if wanted == "bfloat16" and not _has_bfloat16(device):
        raise ValueError(
            f"training.precision is 'bfloat16', but device '{device}' does not compute with it; use auto or float32"
        )
    automatic = wanted == "auto" and device.type == "cuda" and _has_bfloat16(device)
    return torch.bfloat16 if wanted == "bfloat16" or automatic else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def reproducible(device: torch.device, threads: int | None) -> Iterator[None]:
    """Inside, torch uses deterministic algorithms and `threads` CPU threads; before and after, what was set before.

    The same inputs give the same bits on the CPU, for the same number of threads. On a GPU a few backward passes have
    no deterministic form: there torch warns and goes on.
    """
    # As `torch.use_deterministic_algorithms`, which imports the compiler for its sake: seconds of every process.
    before, threads_before = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn" if device.type == "cuda" else "error")
    torch.set_num_threads(threads or threads_before)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.set_num_threads(threads_before)
