"""Writes the demo's table in README.md from recorded results; a test keeps the two equal.

Run: python tools/readme_table.py                   from docs/demo-results.json
     python tools/readme_table.py FOLDER            records the runs of `fusionkit demo FOLDER` first
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README, RECORD = ROOT / "README.md", ROOT / "docs" / "demo-results.json"
BEGIN, END = "<!-- demo: written by tools/readme_table.py -->\n", "<!-- /demo -->"
ROWS = {"table": "table only", "image": "image only", "both": "both"}


def record(folder: Path) -> dict[str, Any]:
    """The accuracy of each network over all folds, with its interval, from the metrics of the demo's runs."""
    found = {}
    for name in ROWS:
        report = next(iter(json.loads((folder / f"run-{name}" / "metrics.json").read_text())["heads"].values()))
        accuracy = report["metrics"]["accuracy"]
        found[name] = {key: round(accuracy[key], 3) for key in ("value", "low", "high")}
        found[name]["cases"] = report["counts"]["cases"]
    return found


def table(results: dict[str, Any]) -> str:
    """The Markdown table."""
    lines = [f"| {ROWS[name]} | {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f}) |\n"
             for name, row in ((name, results[name]) for name in ROWS)]
    cases = results["both"]["cases"]
    return f"| input | accuracy (95 % interval over {cases:,} cubes) |\n| --- | --- |\n" + "".join(lines)


def page(text: str, results: dict[str, Any]) -> str:
    """The README with its table replaced."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + table(results) + "\n" + END + rest.partition(END)[2]


def main() -> None:
    """The README's table written anew from the record."""
    README.write_text(page(README.read_text(encoding="utf-8"), json.loads(RECORD.read_text())), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        RECORD.write_text(json.dumps(record(Path(sys.argv[1])), indent=2) + "\n", encoding="utf-8")
    main()
