"""Memory of an encoder that runs over slices: what `chunk: auto` takes, beside its budget, and beside one large batch.

Each figure is the peak of a process of its own, less that of one that encodes a single slice.

Run: python benchmarks/chunks.py [--model NAME] [--size N] [--slices N]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys


def peak(model: str, size: int, slices: int, chunk: str) -> dict[str, float]:
    """Encode once in this process."""
    import torch
    from fusionkit_plugins.encoders.each_slice import EachSlice, EachSliceConfig
    from fusionkit_plugins.encoders.timm import component as timm

    from fusionkit.components.inner import Inner
    from fusionkit.shapes.layouts import Volume

    shape = Volume((3, slices, size, size))
    inner = Inner.of(timm, model=model, pretrained=False)
    config = EachSliceConfig(encoder=inner, chunk=chunk if chunk == "auto" else int(chunk))
    module = EachSlice(config, [shape]).eval()
    volume = torch.rand(1, *shape.sizes)
    with torch.no_grad():
        module(volume)
    return {"chunk": module.chunk, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--slices", type=int, default=128)
    parser.add_argument("--one", metavar="CHUNK", help="measure this in the process itself")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(peak(args.model, args.size, args.slices, args.one)))
        return
    found = {}
    for chunk in ("1", "auto", str(args.slices)):
        command = [sys.executable, __file__, "--model", args.model, "--size", str(args.size), "--slices",
                   str(args.slices), "--one", chunk]
        found[chunk] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for name, each in found.items():
        print(f"chunk: {name:>5}  {each['chunk']:4d} slices at a time  "
              f"{each['mb'] - found['1']['mb']:7.0f} MB more than one at a time")


if __name__ == "__main__":
    main()
