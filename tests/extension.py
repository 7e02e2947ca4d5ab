"""A package that is installed beside ours, as far as Python's metadata say."""


def declare(folder, monkeypatch, entry_points, name="extension"):
    """Make a distribution with these entry points known, and what lies in the folder importable."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
