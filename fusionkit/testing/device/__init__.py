"""What happens on a GPU, found without one: tensors on the wrong device, and operations that make the CPU wait.

Speed is measured on a GPU, by `benchmarks/gpu.py`. The check of components is in `testing.checks`.
"""
