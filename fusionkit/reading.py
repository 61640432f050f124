"""The names a reader may import besides `fusionkit.api`. All are loaded when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.data.frames import FRAMES as FRAMES
    from fusionkit.data.frames import Frames as Frames
    from fusionkit.data.frames import frame_channels as frame_channels
    from fusionkit.data.frames import frame_places as frame_places
    from fusionkit.data.geometry.grid import Grid as Grid
    from fusionkit.data.geometry.options import INTERPOLATE as INTERPOLATE
    from fusionkit.data.geometry.options import MAX_VALUES as MAX_VALUES
    from fusionkit.data.geometry.options import Interpolation as Interpolation
    from fusionkit.data.geometry.resample import Onto as Onto
    from fusionkit.data.geometry.roi_options import LABEL as LABEL
    from fusionkit.data.geometry.roi_options import Labels as Labels
    from fusionkit.data.header_values import unknown_keyword as unknown_keyword
    from fusionkit.data.intensities import IntensityOptions as IntensityOptions
    from fusionkit.data.intensities import intensities as intensities
    from fusionkit.data.label_maps import colour_labels as colour_labels
    from fusionkit.data.label_maps import labels_of as labels_of
    from fusionkit.data.readers.advice import Advice as Advice
    from fusionkit.data.readers.advice import constant as constant
    from fusionkit.data.readers.advice import count as count
    from fusionkit.data.readers.advice import grouped as grouped
    from fusionkit.data.readers.advice import label_maps as label_maps
    from fusionkit.data.readers.advice import ranges as ranges
    from fusionkit.data.readers.advice import remarked as remarked
    from fusionkit.data.readers.advice import shown_range as shown_range
    from fusionkit.data.readers.advice import spacings as spacings
    from fusionkit.data.readers.cohort_reader import CohortCases as CohortCases
    from fusionkit.data.readers.cohort_reader import CohortOptions as CohortOptions
    from fusionkit.data.readers.cohort_reader import SequenceFault as SequenceFault
    from fusionkit.data.readers.cohort_reader import Sequences as Sequences
    from fusionkit.data.readers.contents import first_bytes as first_bytes
    from fusionkit.data.readers.contents import is_nifti as is_nifti
    from fusionkit.data.readers.contents import misplaced as misplaced
    from fusionkit.data.readers.contents import unzipped as unzipped
    from fusionkit.data.readers.facts import Facts as Facts
    from fusionkit.data.readers.facts import spread as spread
    from fusionkit.data.readers.reader import Bounded as Bounded
    from fusionkit.data.readers.reader import FileOptions as FileOptions
    from fusionkit.data.readers.reader import PlaneSize as PlaneSize
    from fusionkit.data.readers.reader import ReadError as ReadError
    from fusionkit.data.readers.reader import Sizes as Sizes
    from fusionkit.data.readers.reader import VolumeSize as VolumeSize
    from fusionkit.data.readers.reader import Window as Window
    from fusionkit.data.readers.reader import file_size_fix as file_size_fix
    from fusionkit.data.readers.reader import is_decoder_failure as is_decoder_failure
    from fusionkit.data.transforms import window as window
    from fusionkit.data.window_advice import window_of_ct as window_of_ct
    from fusionkit.data.windows import NumberWindows as NumberWindows
    from fusionkit.data.windows import Windows as Windows
    from fusionkit.data.windows import several as several
else:
    from fusionkit.exports import load_late

    __getattr__, __dir__ = load_late(__name__)
