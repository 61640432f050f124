"""What to do about an exception that a module raises, going by its message."""

from __future__ import annotations

import re
from collections.abc import Mapping

DEVICE = ("make new tensors on the device of an input, x.new_zeros(...) or torch.arange(n, device=x.device), with no "
          "'cuda' and no 'cpu' written out; do not depend on the values of tensors: no if, no item(), no int(x)")
DTYPE = ("make new tensors like an input: x.new_zeros(...), torch.zeros_like(x); do what needs more digits, or cannot "
         "be done in bfloat16, with x.float(), and cast the result back: .to(x.dtype)")
_MENDED = "mend what raises"
_KNOWN: Mapping[str, str] = {
    r"not an nn\.Module": "derive the class from torch.nn.Module",
    r"missing the required \"forward\"": "write forward, with the rule's ports as its parameters",
    r"before Module\.__init__\(\) call": "begin __init__ with super().__init__()",
    r"__init__\(\) (takes|missing|got)": "let the constructor take (config, inputs): the checked options, and the "
                                         "shapes of the inputs as a list of TensorShape",
    r"forward\(\) (takes|missing|got)": "let forward take the rule's ports and nothing else that has no default",
    r"must give a tensor": "return a tensor, or a tuple of tensors where the rule has several results",
    r"(?i)nvidia|cuda|expected device|same device|on device": DEVICE,
    r"(?i)meta tensor": DEVICE,
    r"cannot (be )?pickle": "keep no lock, open file or generator in the module: networks are copied",
    r"(?i)same dtype|low precision|not implemented for '(BFloat16|Double|Float)'": DTYPE,
}


def advice(message: str, otherwise: str = "") -> str:
    """What to do about an exception with this message; `otherwise` where it gives no hint."""
    return next((text for pattern, text in _KNOWN.items() if re.search(pattern, message)), otherwise or _MENDED)
