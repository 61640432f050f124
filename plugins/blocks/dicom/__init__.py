"""DICOM: headers, selection and ordering of a series, and pixels in the units of the header.

Files are written by `datasets.dicom_writer`. Windowing and resizing are in `data.transforms`.
"""
