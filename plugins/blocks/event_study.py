"""A small study with a table of events, for the samples of readers of such tables. Contains no component."""

from __future__ import annotations

from pathlib import Path


def event_study(folder: Path, reader: str, more: str = "") -> Path:
    """Write a study of three cases, one without an event before its index; gives its data file."""
    (folder / "table.csv").write_text("by,time,name,value\na,1,k,4.0\na,2,na,140\na,2.5,k,4.4\nb,3,k,3.9\nc,0,na,138\n")
    (folder / "cases.csv").write_text("id,index,start\na,3,-3\nb,4,-2\nc,9,3\n")
    (folder / "data.yaml").write_text(
        f"fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {{labs: {{read: {reader}, table: table.csv, by: by, "
        f"time: time, name: name, value: value, index: index, time_unit: h, window: [-6h, 0h]{more}}}}}\n"
    )
    return folder / "data.yaml"
