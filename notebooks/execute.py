"""Execute the notebooks and store their outputs: ``python -m notebooks.execute [NAME ...]``."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def execute(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with fresh outputs; an error in a cell raises."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(HERE)}})
    client.execute()
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)  # times of day: they would make every run differ
    notebook.metadata.get("language_info", {}).pop("version", None)
    return notebook


def main() -> None:
    """Execute the named notebooks, or all."""
    named = [HERE / f"{Path(name).stem}.ipynb" for name in sys.argv[1:]]
    for path in named or sorted(HERE.glob("*.ipynb")):
        print(f"==> {path.name}", file=sys.stderr)
        aside = path.with_suffix(".part")
        nbformat.write(execute(path), aside)
        aside.replace(path)


if __name__ == "__main__":
    main()
