"""data/readers/dicom"""
