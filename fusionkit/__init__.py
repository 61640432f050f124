"""Multimodal fusion networks as short YAML graphs, made of plugins.

    model = fusionkit.build("graph.yaml")             # an nn.Module
    run = fusionkit.train("graph.yaml", "data.yaml")  # trained, saved and evaluated
    fusionkit.predict(run, "new/data.yaml").rows()    # one record for each case

Each command of the command line is a function here, with its options as keyword arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.errors import DataError as DataError
    from fusionkit.errors import GraphError as GraphError
    from fusionkit.errors import RunError as RunError
    from fusionkit.errors import UserError as UserError
    from fusionkit.interface.build import build as build
    from fusionkit.interface.calibrate import calibrate as calibrate
    from fusionkit.interface.check import check as check
    from fusionkit.interface.claims import run_claim as run_claim
    from fusionkit.interface.compare import compare as compare
    from fusionkit.interface.evaluate import evaluate as evaluate
    from fusionkit.interface.explain import explain as explain
    from fusionkit.interface.export import export as export
    from fusionkit.interface.inspect import inspect as inspect
    from fusionkit.interface.load import load as load
    from fusionkit.interface.plan import plan as plan
    from fusionkit.interface.predict import predict as predict
    from fusionkit.interface.report import report as report
    from fusionkit.interface.train import train as train
    from fusionkit.network.optimise import optimize as optimize
else:
    from fusionkit.exports import load_late

    __getattr__, __dir__ = load_late(__name__)

__version__ = "0.1.0"
