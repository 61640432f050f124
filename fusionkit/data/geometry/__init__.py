"""Where the voxels of a volume are in the patient, and what follows from it: turning, resampling, cutting.

Everything works on arrays and grids in memory. How a file tells its grid is known to the reader of its format.
"""
