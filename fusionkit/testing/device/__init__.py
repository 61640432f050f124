"""What happens on a GPU, found without one: tensors on the wrong device, and where the GPU makes the CPU wait."""
