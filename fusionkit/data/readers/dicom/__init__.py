"""DICOM: headers, the choice and order of a series, and pixels in the units that the header gives.

Files are written by `datasets.dicom_writer`. Windows and sizes are steps of `data.transforms`.
"""
