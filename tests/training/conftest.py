import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums in another order are other numbers; the runs that are compared bit for bit must not differ in threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
