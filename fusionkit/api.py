"""The names a plugin may import. Names that need torch are loaded when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.arrays import Bools as Bools
    from fusionkit.arrays import Floats as Floats
    from fusionkit.arrays import Ints as Ints
    from fusionkit.components.component import Encoder as Encoder
    from fusionkit.components.component import Fusion as Fusion
    from fusionkit.components.component import Head as Head
    from fusionkit.components.component import Uncertainty as Uncertainty
    from fusionkit.components.config import ComponentError as ComponentError
    from fusionkit.components.config import Config as Config
    from fusionkit.components.explanation import Explanation as Explanation
    from fusionkit.components.explanation import ExplanationMethod as ExplanationMethod
    from fusionkit.components.hooks import hookimpl as hookimpl
    from fusionkit.components.inner import Inner as Inner
    from fusionkit.components.inner import inner as inner
    from fusionkit.components.metric import Metric as Metric
    from fusionkit.components.metric import MetricMethod as MetricMethod
    from fusionkit.components.optimiser import Optimiser as Optimiser
    from fusionkit.components.outcomes import ClassColumn as ClassColumn
    from fusionkit.components.outcomes import Outcomes as Outcomes
    from fusionkit.components.outcomes import SurvivalColumn as SurvivalColumn
    from fusionkit.components.outcomes import ValueColumn as ValueColumn
    from fusionkit.components.outcomes import median_class as median_class
    from fusionkit.components.probes import Probes as Probes
    from fusionkit.components.protocols import HeadPrediction as HeadPrediction
    from fusionkit.components.protocols import Prediction as Prediction
    from fusionkit.components.protocols import Runner as Runner
    from fusionkit.components.quantile_names import level_of as level_of
    from fusionkit.components.quantile_names import quantile_name as quantile_name
    from fusionkit.components.reader import Reader as Reader
    from fusionkit.components.release import Recorded as Recorded
    from fusionkit.components.release import Release as Release
    from fusionkit.components.schedule import Schedule as Schedule
    from fusionkit.components.task import Agreement as Agreement
    from fusionkit.components.task import PartFault as PartFault
    from fusionkit.components.task import TargetFault as TargetFault
    from fusionkit.components.task import TargetPart as TargetPart
    from fusionkit.components.task import Task as Task
    from fusionkit.components.task import TaskMethod as TaskMethod
    from fusionkit.components.training import BatchView as BatchView
    from fusionkit.components.training import EpochWindow as EpochWindow
    from fusionkit.components.training import Gradients as Gradients
    from fusionkit.components.training import LossChange as LossChange
    from fusionkit.components.training import Training as Training
    from fusionkit.components.training import TrainingMethod as TrainingMethod
    from fusionkit.components.training import TrainingView as TrainingView
    from fusionkit.components.transform import Cell as Cell
    from fusionkit.components.transform import Draws as Draws
    from fusionkit.components.transform import Motion as Motion
    from fusionkit.components.transform import TableRow as TableRow
    from fusionkit.components.transform import Transform as Transform
    from fusionkit.components.transform import TransformConfig as TransformConfig
    from fusionkit.components.transform import TransformMethod as TransformMethod
    from fusionkit.components.weighted import calibration_bin as calibration_bin
    from fusionkit.components.weighted import calibration_error as calibration_error
    from fusionkit.components.weighted import pairs_in_order as pairs_in_order
    from fusionkit.components.weighted import ratio as ratio
    from fusionkit.layers.case_comparison import CaseComparison as CaseComparison
    from fusionkit.layers.fitted import Fitted as Fitted
    from fusionkit.layers.fitted import TrainingRows as TrainingRows
    from fusionkit.layers.masking import fill_absent as fill_absent
    from fusionkit.layers.masking import fill_padding as fill_padding
    from fusionkit.layers.masking import max_valid as max_valid
    from fusionkit.layers.masking import mean_valid as mean_valid
    from fusionkit.layers.masking import row_mask as row_mask
    from fusionkit.layers.masking import softmax_present as softmax_present
    from fusionkit.layers.masking import tokens_there as tokens_there
    from fusionkit.layers.masking import zero_empty as zero_empty
    from fusionkit.layers.modes import recomputed_norms as recomputed_norms
    from fusionkit.layers.modes import running_statistics as running_statistics
    from fusionkit.layers.modes import training_norms as training_norms
    from fusionkit.layers.norms import FeatureNorm as FeatureNorm
    from fusionkit.layers.norms import Normalisation as Normalisation
    from fusionkit.layers.norms import PresentBatchNorm as PresentBatchNorm
    from fusionkit.layers.norms import masked_layers as masked_layers
    from fusionkit.layers.norms import normalisation as normalisation
    from fusionkit.layers.projection import Activation as Activation
    from fusionkit.layers.projection import EachToken as EachToken
    from fusionkit.layers.projection import Projections as Projections
    from fusionkit.layers.projection import activation as activation
    from fusionkit.layers.projection import at_least_single as at_least_single
    from fusionkit.layers.projection import joined_shape as joined_shape
    from fusionkit.layers.projection import pointwise as pointwise
    from fusionkit.layers.projection import resized as resized
    from fusionkit.layers.projection import spread as spread
    from fusionkit.layers.readout import ReadoutConfig as ReadoutConfig
    from fusionkit.layers.readout import readout as readout
    from fusionkit.layers.sequences import Events as Events
    from fusionkit.layers.sequences import Series as Series
    from fusionkit.shapes.layouts import Bundle as Bundle
    from fusionkit.shapes.layouts import Image as Image
    from fusionkit.shapes.layouts import MaskedEvents as MaskedEvents
    from fusionkit.shapes.layouts import MaskedItems as MaskedItems
    from fusionkit.shapes.layouts import MaskedSeries as MaskedSeries
    from fusionkit.shapes.layouts import MaskedText as MaskedText
    from fusionkit.shapes.layouts import MaskedTokens as MaskedTokens
    from fusionkit.shapes.layouts import Scalar as Scalar
    from fusionkit.shapes.layouts import Shape as Shape
    from fusionkit.shapes.layouts import TensorShape as TensorShape
    from fusionkit.shapes.layouts import Tokens as Tokens
    from fusionkit.shapes.layouts import Vector as Vector
    from fusionkit.shapes.layouts import Volume as Volume
    from fusionkit.shapes.layouts import joined_tokens as joined_tokens
    from fusionkit.shapes.layouts import shape_of as shape_of
    from fusionkit.shapes.layouts import with_width as with_width
else:
    from fusionkit.exports import load_late

    __getattr__, __dir__ = load_late(__name__)
