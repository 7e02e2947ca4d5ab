"""C kernels, compiled on first use by the C compiler of the machine.

Where there is none, PyTorch operations do the same, slower. Libraries are kept in $XDG_CACHE_HOME/nowcast
(~/.cache/nowcast), one for each source, precision, compiler, set of flags and kind of processor.
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

import torch

log = logging.getLogger(__name__)
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")
WIDE = "-mprefer-vector-width=512"  # compilers of other processors refuse it


class NoCompilerError(RuntimeError):
    """There is no C compiler, or none that compiles the kernel."""


@functools.cache
def library(source: Path, dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled kernel of a precision, None where it cannot be compiled (which is logged once).

    Args:
        source: The .c file.
        dtype: float32 or bfloat16.
    """
    try:
        return ctypes.CDLL(str(compile_kernel(source, dtype)))
    except (NoCompilerError, OSError) as error:
        log.warning("%s is not available (%s); PyTorch operations do the same, slower", source.name, error)
        return None


def compile_kernel(source: Path, dtype: torch.dtype) -> Path:
    """Path of the compiled library, made now if it is not in the cache.

    Args:
        source: The .c file.
        dtype: float32 or bfloat16.

    Raises:
        NoCompilerError: No compiler, or it does not accept the source.
        OSError: The cache folder cannot be written.
    """
    compiler = find_compiler()
    define = ["-DBFLOAT16"] if dtype == torch.bfloat16 else []
    facts = [source.read_text(), compiler, *FLAGS, *define, _processor()]
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nowcast"
    made_before = folder / f"{source.stem}_{name}.so"
    if made_before.exists():
        return made_before
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made, message = Path(scratch) / "kernel.so", ""
        # Without OpenMP's runtime the kernel works on one core; other processors know no preferred width.
        for extra in (["-fopenmp", WIDE], ["-fopenmp"], ["-fopenmp-simd"]):
            command = [compiler, *FLAGS, *extra, *define, str(source), "-o", str(made)]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode == 0:
                made.replace(made_before)  # atomic: processes that start together do not disturb each other
                return made_before
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
