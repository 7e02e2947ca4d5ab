"""The fused step for CPUs: cell_kernel.c, compiled on first use by the C compiler of the machine.

Without a compiler the PyTorch operations of cell_steps.py do the same, slower. The library is kept in
$XDG_CACHE_HOME/nowcast (~/.cache/nowcast), one for each source, compiler, set of flags and kind of processor.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nowcast.models.cell_steps import Gates

log = logging.getLogger(__name__)
SOURCE = Path(__file__).with_name("cell_kernel.c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")
VALUES_PER_THREAD = 16384
WIDE = "-mprefer-vector-width=512"  # compilers of other processors refuse it


class NoCompilerError(RuntimeError):
    """There is no C compiler, or none that compiles the kernel."""


class NativeSteps:
    """See Steps; float32 and bfloat16 on CPUs."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Take the two functions of a compiled kernel."""
        pointer, number, integer = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
        sizes: list[Any] = [number] * 3 + [integer] * 2
        row: list[Any] = [pointer, number]
        self._forward, self._backward = library.forward_step, library.backward_step
        self._forward.argtypes = [*sizes, *row * 4, *[pointer] * 3]
        self._backward.argtypes = [*sizes, *row * 3, pointer, *row * 4, *[pointer] * 4]
        self._forward.restype = self._backward.restype = None

    def make_sums(self, like: Tensor) -> Tensor:
        """See Steps; a slot for each thread."""
        return like.new_zeros(_threads(like), 7, like.shape[1], dtype=torch.float64)

    def forward(
        self,
        gates: Gates,
        cell: Tensor | None,
        peephole: Tensor | None,
        current: bool,
        kept: Tensor | None,
        new_cell: Tensor,
        hidden: Tensor,
    ) -> None:
        """See Steps."""
        rows = _Rows(new_cell, hidden.dtype)
        self._forward(
            *rows.sizes(_threads(new_cell), current),
            *rows.of(gates.from_input, 4),
            *rows.of(gates.from_state, 4),
            *rows.of(cell, 1, torch.float32),
            *rows.peephole(peephole),
            None if kept is None else rows.of(kept, 4)[0],
            rows.of(new_cell, 1, torch.float32)[0],
            rows.of(hidden, 1)[0],
        )

    def backward(
        self,
        gates: Gates,
        cell: Tensor | None,
        new_cell: Tensor,
        peephole: Tensor | None,
        current: bool,
        d_hidden: Tensor | None,
        d_later: Tensor | None,
        d_cell: Tensor | None,
        d_gates: Tensor,
        sums: Tensor,
    ) -> Tensor:
        """See Steps."""
        rows = _Rows(new_cell, d_gates.dtype)
        result, partial = torch.empty_like(new_cell), torch.empty_like(sums, dtype=torch.float32)
        self._backward(
            *rows.sizes(len(sums), current),
            *rows.of(gates.from_input, 4),
            *rows.of(gates.from_state, 4),
            *rows.of(cell, 1, torch.float32),
            rows.of(new_cell, 1, torch.float32)[0],
            *rows.peephole(peephole),
            *rows.of(d_hidden, 1),
            *rows.of(d_later, 1),
            *rows.of(d_cell, 1, torch.float32),
            rows.of(d_gates, 4)[0],
            result.data_ptr(),
            partial.data_ptr(),
            sums.data_ptr(),
        )
        return result


class _Rows:
    """Addresses and strides of channels-last arrays; an absent one is a row of zeros that is repeated."""

    def __init__(self, cell: Tensor, dtype: torch.dtype) -> None:
        self.batch, self.channels, self.height, self.width = cell.shape
        self.dtype = dtype
        self.kept: list[Tensor] = []  # lives as long as the addresses are used

    def sizes(self, threads: int, current: bool) -> tuple[int, int, int, int, int]:
        area = self.height * self.width
        return self.batch * area, self.channels, area, threads, int(current)

    def of(self, tensor: Tensor | None, times: int, dtype: torch.dtype | None = None) -> tuple[int, int]:
        dtype, channels = dtype or self.dtype, times * self.channels
        if tensor is None:
            tensor, stride = torch.zeros(channels, dtype=dtype), 0
            self.kept.append(tensor)
        else:
            stride = channels
            shape = (self.batch, channels, self.height, self.width)
            if tensor.shape != shape or tensor.dtype != dtype or not _channels_last(tensor):
                raise ValueError(f"expected {shape} {dtype} channels-last, got {tuple(tensor.shape)} {tensor.dtype}")
        return tensor.data_ptr(), stride

    def peephole(self, weights: Tensor | None) -> tuple[int, int]:
        if weights is None:
            weights = torch.zeros(3, self.channels, 1, 1)
        rows = weights.float().contiguous(memory_format=torch.channels_last)  # (3, places, C)
        self.kept.append(rows)
        return rows.data_ptr(), rows.shape[2] * rows.shape[3]


def _threads(cell: Tensor) -> int:
    """Small steps are over before other threads have woken up."""
    return max(1, min(torch.get_num_threads(), cell.numel() // VALUES_PER_THREAD))


def _channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


@functools.cache
def native_steps(dtype: torch.dtype) -> NativeSteps | None:
    """The compiled steps of a precision, None where they cannot be compiled (which is logged once)."""
    try:
        return NativeSteps(ctypes.CDLL(str(compile_kernel(dtype))))
    except (NoCompilerError, OSError) as error:
        log.warning("the fused CPU kernel is not available (%s); PyTorch operations do the same, slower", error)
        return None


def compile_kernel(dtype: torch.dtype) -> Path:
    """Path of the compiled library, made now if it is not in the cache.

    Raises:
        NoCompilerError: No compiler, or it does not accept the source.
        OSError: The cache folder cannot be written.
    """
    compiler = find_compiler()
    define = ["-DBFLOAT16"] if dtype == torch.bfloat16 else []
    facts = [SOURCE.read_text(), compiler, *FLAGS, *define, _processor()]
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nowcast"
    library = folder / f"cell_kernel_{name}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made, message = Path(scratch) / "kernel.so", ""
        # Without OpenMP's runtime the kernel works on one core; other processors know no preferred width.
        for extra in (["-fopenmp", WIDE], ["-fopenmp"], ["-fopenmp-simd"]):
            command = [compiler, *FLAGS, *extra, *define, str(SOURCE), "-o", str(made)]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode == 0:
                made.replace(library)  # atomic: processes that start together do not disturb each other
                return library
            message = message or result.stderr.strip()
    raise NoCompilerError(f"{compiler} failed: {message[-500:]}")


def find_compiler() -> str:
    """Path of $CC, cc, gcc or clang, whichever is found first.

    Raises:
        NoCompilerError: None is there.
    """
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        if path:
            return path
    raise NoCompilerError("no C compiler found: install gcc or clang, or set CC")


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.platform() + platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
