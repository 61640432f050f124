"""Whether files of weights fit the nodes that start from them, by what the files say of their tensors."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from fusionkit.errors import Diagnostic, GraphError, in_file_order
from fusionkit.network.instantiate import make_node
from fusionkit.network.meta_results import MetaResults
from fusionkit.network.weights import load_planned
from fusionkit.network.without_values import WithoutValues
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.planning.weights_folders import folders_in
from fusionkit.pretrained.tensor_files import without_numbers


def check_weights(plan: Plan) -> None:
    """Check that nodes can start from their files of weights: names, sizes and types of all tensors, and checksums.

    The numbers are not read, so that one that is not finite is found where a network is built. Where the names or
    sizes that a network needs depend on numbers, its node is built as for a training.

    Raises: GraphError with every mistake.
    """
    found: list[Diagnostic] = []
    for node in plan.nodes:
        if node.node.weights is not None or any(folders_in(call.config) for lane in node.lanes for call in lane.calls):
            try:
                _check(plan, node)
            except GraphError as error:
                found.extend(error.diagnostics)
    if found:
        raise GraphError(in_file_order(found))


def _check(plan: Plan, node: PlannedNode) -> None:
    try:
        _start(plan, node, numbers=False)
    except (GraphError, NotImplementedError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, GraphError) else error
        if not isinstance(cause, NotImplementedError | RuntimeError) or "meta" not in str(cause).lower():
            raise
        _start(plan, node, numbers=True)


def _start(plan: Plan, node: PlannedNode, *, numbers: bool) -> None:
    follow = node.node.weights is not None
    with ExitStack() as within:
        if not numbers:
            within.enter_context(without_numbers())
            within.enter_context(torch.device("meta"))
        with WithoutValues(), MetaResults():
            module = make_node(node, 0, follow)
        if follow:
            load_planned(module, node, plan)
