import subprocess
import sys

import pytest
from bundled_readers import READERS
from pydantic import ValidationError

from fusionkit.data.readers.reader import FileOptions


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_described_frozen_options_and_its_functions(name):
    reader = READERS[name]
    options = reader.options
    assert all(field.description and field.description.endswith(".") for field in options.model_fields.values())
    assert options.model_config["extra"] == "forbid" and options.model_config["frozen"]
    assert issubclass(options, FileOptions) == (reader.files and name != "bag")
    whole = {"bag": {"of": {"read": "image"}, "path": "{id}"}, "positions": {"of": "views"},
             "text": {"column": "note", "vocabulary": 9}, "series": {"path": "{id}", "channels": ["hr"]},
             "mask_statistics": {"of": "ct", "mask": "{id}"},
             **dict.fromkeys(("events", "grid", "steps"), dict.fromkeys(
                 ("table", "by", "time", "name", "value", "index"), "x"))}
    whole["grid"] = whole["grid"] | {"window": ["-2h", "0h"]}
    given = whole.get(name, {"path": "{id}"} if reader.files else {"numeric": ["age"]})
    shape = reader.shape(options(**given))
    assert shape is None or all(size is None or size > 0 for size in shape)


@pytest.mark.parametrize("window", [[5, 5], [9, -9], [0, "nan"], [0]])
def test_a_window_rises(window):
    with pytest.raises(ValidationError):
        READERS["nifti"].options(path="{id}", window=window)


def test_listing_readers_imports_none_of_them():
    code = ("import sys; from fusionkit.data.readers.lookup import reader_names; "
            "from fusionkit.registry.lookup import discover; assert 'dicom' in reader_names(discover()); "
            "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pydicom', 'nibabel', 'PIL')))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
