"""The public names, by the stage that they belong to; `__init__.py` loads each on first use."""

# record: model and probe set -> run
from infoplane.calls import Progress as Progress
from infoplane.data import LayerInfo as LayerInfo
from infoplane.data import ProbeSet as ProbeSet
from infoplane.data import Slot as Slot
from infoplane.data import Subject as Subject
from infoplane.importing.session import Import as Import
from infoplane.importing.session import import_arrays as import_arrays
from infoplane.importing.writer import RunWriter as RunWriter
from infoplane.recording.recorder import Recorder as Recorder
from infoplane.recording.session import Recording as Recording
from infoplane.recording.session import record as record
from infoplane.recording.weights_only import WeightsRecording as WeightsRecording
from infoplane.recording.weights_only import record_weights as record_weights
from infoplane.runs.run import Run as Run
from infoplane.sample_runs.twelve_bit.task import toy12 as toy12

# isort: split
# analyze: runs -> results
from infoplane.analysis.session import Analysis as Analysis
from infoplane.analysis.session import analyze as analyze
from infoplane.estimators.base import Estimator as Estimator
from infoplane.estimators.estimate import Estimate as Estimate
from infoplane.estimators.flags import Flag as Flag
from infoplane.estimators.quantities import Quantity as Quantity
from infoplane.estimators.registry import estimator_class as estimator_class
from infoplane.estimators.registry import estimator_id as estimator_id
from infoplane.estimators.registry import estimator_names as estimator_names
from infoplane.estimators.registry import parse_estimator as parse_estimator
from infoplane.similarity.session import SimilarityAnalysis as SimilarityAnalysis
from infoplane.similarity.session import similarities as similarities

# isort: split
# estimate from arrays
from infoplane.estimators.layers.binned_information import BinnedInformation as BinnedInformation
from infoplane.estimators.layers.binned_information import binned_information as binned_information
from infoplane.estimators.layers.cauchy_schwarz_information import (
    CauchySchwarzInformation as CauchySchwarzInformation,
)
from infoplane.estimators.layers.cauchy_schwarz_information import (
    cauchy_schwarz_information as cauchy_schwarz_information,
)
from infoplane.estimators.layers.collapse_measures import NeuralCollapse as NeuralCollapse
from infoplane.estimators.layers.collapse_measures import (
    centroid_nuclear_norm as centroid_nuclear_norm,
)
from infoplane.estimators.layers.collapse_measures import label_alignment as label_alignment
from infoplane.estimators.layers.collapse_measures import neural_collapse as neural_collapse
from infoplane.estimators.layers.collapse_measures import rdm_stability as rdm_stability
from infoplane.estimators.layers.compressed.information import (
    CompressedInformation as CompressedInformation,
)
from infoplane.estimators.layers.compressed.information import (
    compressed_information as compressed_information,
)
from infoplane.estimators.layers.diffusion_entropy import DiffusionEntropy as DiffusionEntropy
from infoplane.estimators.layers.diffusion_entropy import (
    diffusion_spectral_entropy as diffusion_spectral_entropy,
)
from infoplane.estimators.layers.diffusion_information import (
    DiffusionInformation as DiffusionInformation,
)
from infoplane.estimators.layers.diffusion_information import (
    diffusion_spectral_mutual_information as diffusion_spectral_mutual_information,
)
from infoplane.estimators.layers.kde_information import KdeInformation as KdeInformation
from infoplane.estimators.layers.kde_information import kde_information as kde_information
from infoplane.estimators.layers.output_information import OutputInformation as OutputInformation
from infoplane.estimators.layers.output_information import output_information as output_information
from infoplane.estimators.layers.probe_information import ProbeInformation as ProbeInformation
from infoplane.estimators.layers.probe_information import ProbeReading as ProbeReading
from infoplane.estimators.layers.probe_information import probe_information as probe_information
from infoplane.estimators.layers.renyi_information import RenyiInformation as RenyiInformation
from infoplane.estimators.layers.renyi_information import renyi_information as renyi_information
from infoplane.estimators.neural_information import NeuralInformation as NeuralInformation
from infoplane.estimators.neural_information import neural_information as neural_information
from infoplane.estimators.pair_information import ksg_information as ksg_information
from infoplane.estimators.pair_information import mixed_information as mixed_information
from infoplane.estimators.pair_information import shuffle_information as shuffle_information
from infoplane.numerics.attention import attention_entropy as attention_entropy
from infoplane.numerics.diffusion.variants import (
    adjacency_spectral_entropy as adjacency_spectral_entropy,
)
from infoplane.numerics.diffusion.variants import (
    coordinate_binned_entropy as coordinate_binned_entropy,
)
from infoplane.numerics.diffusion.variants import matrix_entry_entropy as matrix_entry_entropy
from infoplane.numerics.diffusion.variants import (
    subset_mutual_information as subset_mutual_information,
)
from infoplane.numerics.discrete.bottleneck import BottleneckCurve as BottleneckCurve
from infoplane.numerics.discrete.bottleneck import (
    information_bottleneck_curve as information_bottleneck_curve,
)
from infoplane.numerics.gradients import GradientAccumulator as GradientAccumulator
from infoplane.numerics.gradients import GradientStatistics as GradientStatistics
from infoplane.numerics.gradients import gradient_transition as gradient_transition
from infoplane.numerics.kernels.cauchy_schwarz import (
    cauchy_schwarz_divergence as cauchy_schwarz_divergence,
)
from infoplane.numerics.kernels.cauchy_schwarz import (
    conditional_cauchy_schwarz_divergence as conditional_cauchy_schwarz_divergence,
)
from infoplane.numerics.kernels.noisy import NoisyInformation as NoisyInformation
from infoplane.numerics.kernels.noisy import noisy_network_information as noisy_network_information
from infoplane.numerics.neighbors.estimates import intrinsic_dimension as intrinsic_dimension
from infoplane.numerics.neighbors.estimates import (
    kozachenko_leonenko_entropy as kozachenko_leonenko_entropy,
)
from infoplane.numerics.neighbors.estimates import ksg_mutual_information as ksg_mutual_information
from infoplane.numerics.neighbors.estimates import (
    mixed_mutual_information as mixed_mutual_information,
)
from infoplane.numerics.neighbors.estimates import shuffle_difference as shuffle_difference
from infoplane.numerics.prequential import prequential_excess_bits as prequential_excess_bits
from infoplane.numerics.similarity.functions import cka as cka
from infoplane.numerics.similarity.functions import cka_without_top as cka_without_top
from infoplane.numerics.similarity.functions import mutual_neighbors as mutual_neighbors
from infoplane.numerics.similarity.functions import procrustes_distance as procrustes_distance
from infoplane.numerics.similarity.functions import pwcca as pwcca
from infoplane.numerics.similarity.functions import rsa as rsa
from infoplane.numerics.similarity.functions import svcca as svcca
from infoplane.numerics.spectral_measures import PowerLaw as PowerLaw
from infoplane.numerics.spectral_measures import alpha_req as alpha_req
from infoplane.numerics.spectral_measures import effective_rank as effective_rank
from infoplane.numerics.spectral_measures import participation_ratio as participation_ratio
from infoplane.numerics.spectral_measures import rankme as rankme
from infoplane.numerics.spectral_measures import stable_rank as stable_rank
from infoplane.numerics.spectral_measures import von_neumann_entropy as von_neumann_entropy
from infoplane.numerics.tails import Tail as Tail
from infoplane.numerics.weight_measures import WeightMeasures as WeightMeasures
from infoplane.numerics.weight_measures import weight_measures as weight_measures

# isort: split
# results: open, read, write
from infoplane.results.export import write_csv as write_csv
from infoplane.results.export import write_parquet as write_parquet
from infoplane.results.export import write_tensorboard as write_tensorboard
from infoplane.results.notebook import Results as Results
from infoplane.results.notebook import load as load
from infoplane.results.phases import find_phases as find_phases

# isort: split
# gate: rules and baselines
from infoplane.gate.checks import Report as Report
from infoplane.gate.checks import check as check
from infoplane.gate.comparison import Comparison as Comparison
from infoplane.gate.comparison import compare as compare

# isort: split
# errors
from infoplane.errors import DataError as DataError
from infoplane.errors import EstimationError as EstimationError
from infoplane.errors import ExitCode as ExitCode
from infoplane.errors import InfoplaneError as InfoplaneError
from infoplane.errors import InfoplaneWarning as InfoplaneWarning
from infoplane.errors import InputError as InputError
from infoplane.errors import NotFoundError as NotFoundError
from infoplane.errors import RunFileError as RunFileError
from infoplane.errors import WorkerError as WorkerError

__version__: str
