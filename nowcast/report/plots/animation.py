"""Writes the frames of an animation: GIF, and MP4 where ffmpeg is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nowcast.files import written_whole

FRAME_MILLISECONDS = 350
REST = 4  # the last frame stays this many times as long


def write_gif(pictures: Sequence[Image.Image], colours: Sequence[Sequence[int]], path: Path) -> None:
    """Write a GIF with one palette for all frames, that holds the exact colours, so that white stays white.

    Args:
        pictures: RGB frames of one size.
        colours: RGB in bytes of what must not change, the grey of "no data" first.
        path: File to write.
    """
    text = [[grey] * 3 for grey in range(0, 250, 12) if abs(grey - colours[0][0]) > 6]  # anti-aliased letters
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in (*colours, *text) for part in colour])
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with written_whole(path) as partial:
        frames[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[FRAME_MILLISECONDS] * (len(frames) - 1) + [REST * FRAME_MILLISECONDS],
            loop=0,
        )


def write_mp4(pictures: Sequence[Image.Image], path: Path) -> None:
    """Write an MP4 (H.264) that browsers and office programs play.

    Raises:
        FileNotFoundError: There is no ffmpeg.
        ValueError: ffmpeg refuses; its last words are in the message.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise FileNotFoundError("MP4 needs ffmpeg, which is not installed; install it, or leave mp4 out of formats=")
    width, height = pictures[0].size
    command = [program, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"1000/{FRAME_MILLISECONDS}", "-i", "-", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"]
    command += ["-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    frames = [*pictures, *([pictures[-1]] * (REST - 1))]
    with written_whole(path) as partial:
        done = subprocess.run(
            [*command, str(partial)], input=b"".join(frame.tobytes() for frame in frames), capture_output=True
        )
        if done.returncode:
            raise ValueError(f"{path}: ffmpeg failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
