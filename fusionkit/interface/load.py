"""`fusionkit.load`: the network of a folder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.components.component import Component
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import plain_json
from fusionkit.network import folder as saved
from fusionkit.registry.lookup import Registry, discover

if TYPE_CHECKING:
    from fusionkit.network.model import FusionModel


def load(
    folder: str | PathLike[str],
    registry: Registry | None = None,
    *,
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    network: int | None = None,
) -> FusionModel:
    """A network that `fusionkit build -o` or a training run wrote to a folder, in evaluation mode.

    Of a run that trained several, `network` is the number of the one to load, counted from 0; without it the first is
    loaded, with a warning: the run predicts by the mean of all. `model.decode_output(head, output)` corrects
    probabilities for balanced sampling, which the head's own `decode` does not. Your own components come from the
    Python files `plugins`, or as `components`; `registry` replaces the installed components and both of these.
    Raises: GraphError if it is not such a folder, has no such network, or needs a plugin that is not installed.
    """
    from fusionkit.inference.ensemble import MEMBERS, member_folder
    from fusionkit.runs.folder import RUN
    from fusionkit.runs.priors import correct_priors, recorded_priors

    registry = registry or discover(components=components, files=[str(file) for file in plugins])
    folder, asked = Path(folder), network or 0
    about = plain_json(folder / RUN) or {}
    members = about.get(MEMBERS)
    count = len(members) if isinstance(members, list) and members else 1
    if not 0 <= asked < count:
        raise GraphError(Diagnostic("no-network", f"{str(folder)!r} has no network {asked}",
                                    why=f"it has {count}, counted from 0", fix="give another number, or none"))
    if network is None and count > 1:
        warnings.warn(f"the run in {str(folder)!r} predicts by the mean of its {count} networks, and this is the first "
                      "of them: use fusionkit.predict, or name the network (network=0)", stacklevel=2)
    model = saved.load(folder, registry)
    found = saved.load_planned(model.plan, member_folder(folder, asked)) if asked else model
    correct_priors([found], recorded_priors(about, found.plan))
    return found
